/** Results as files, made here in the browser. */

import { element } from "./elements.js";

export function downloadJson(cards) {
  const values = cards.map((card) =>
    card.result
      ? { ...card.result, file: card.name, model: card.model }
      : { file: card.name, status: card.problem.status, error: card.problem.message },
  );
  save(JSON.stringify(values, null, 2) + "\n", "application/json", "results.json");
}

/** A row for each image: the answer, the model, the probability of every class, or the error. */
export function downloadCsv(cards) {
  const classes = [];
  for (const card of cards) {
    for (const { name } of card.result?.classes ?? []) if (!classes.includes(name)) classes.push(name);
  }
  classes.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  const head = ["file", "predicted", "probability", "model", "version", "error", ...classes.map((name) => `p(${name})`)];
  const rows = cards.map((card) => row(card, classes));
  const text = [head, ...rows].map((cells) => cells.map(cell).join(",") + "\r\n").join("");
  save(text, "text/csv", "results.csv");
}

function row(card, classes) {
  if (!card.result) return [card.name, "", "", "", "", card.problem.message, ...classes.map(() => "")];
  const probabilities = new Map(card.result.classes.map(({ name, probability }) => [name, probability]));
  const { predicted, probability } = card.result;
  const { name, version } = card.model;
  return [card.name, predicted, probability, name, version, "", ...classes.map((key) => probabilities.get(key) ?? "")];
}

function cell(value) {
  if (typeof value === "number") return String(value);
  // A spreadsheet would take such a text, perhaps the name of a file, for a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function save(text, type, name) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
