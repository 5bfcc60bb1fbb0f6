/** The model that answers: scores, formats, lineage. */

import { byId, element, percent, size } from "./elements.js";
import { getJson } from "./server.js";
import { askForToken, connectTokenForm } from "./token_form.js";

const FEW_LINES = 6;

function fact(value, label, note = "") {
  return element(
    "div",
    {},
    element("dt", {}, label, note ? element("span", { className: "note" }, note) : ""),
    element("dd", {}, value),
  );
}

const RESIZED = { pad: "others are padded with black", crop: "of others the middle", stretch: "others are stretched" };
const COLORED = { rgb: "in color", grayscale: "in shades of gray" };

function facts(model) {
  const { scores, input } = model;
  const interval = `${(100 * scores.accuracy_low).toFixed(1)} to ${(100 * scores.accuracy_high).toFixed(1)}\u00a0%`;
  const note = `${Math.round(100 * scores.confidence)} % interval ${interval}, ${scores.images} images`;
  const pixels = `${input.image_size} × ${input.image_size}`;
  return element(
    "dl",
    { className: "facts" },
    fact(`${model.name} ${model.version}`, "name and version"),
    fact(percent(scores.accuracy), "test accuracy", note),
    fact(model.network, "network", `of the candidate ${model.candidate}`),
    fact(pixels, "pixels that it sees", `${COLORED[input.color]}, of square images; ${RESIZED[input.resize]}`),
  );
}

function table(head, rows) {
  const cells = (tag, texts) => texts.map(([text, className]) => element(tag, { className }, text));
  const names = element("tr", {}, ...head.map(([text, className]) => element("th", { scope: "col", className }, text)));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...cells("td", rest)));
  const made = element("table", {}, element("thead", {}, names), element("tbody", {}, ...body));
  return element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: head[0][0] }, made);
}

function formats(model) {
  const number = "number";
  const rows = model.formats.map((format) => [
    format.format === model.format ? `${format.format} (answers here)` : format.format,
    [size(format.size_bytes), number],
    [percent(format.accuracy), number],
    [format.largest_difference ? format.largest_difference.toExponential(0) : "none", number],
    [`${format.latency_ms.median.toFixed(2)} ms`, number],
    [Math.round(format.images_per_second).toLocaleString("en"), number],
  ]);
  const head = ["format", "size", "test accuracy", "largest difference", "one image", "images per second"];
  return table(head.map((name, place) => [name, place ? number : ""]), rows);
}

/** A value of the lineage as people read it; some are lists and objects in JSON. */
function readable(text) {
  let values;
  try {
    values = JSON.parse(text);
  } catch {
    return text;
  }
  if (typeof values !== "object") return text;
  const lines = Array.isArray(values)
    ? values
    : Object.entries(values).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}`);
  const list = element("ul", {}, ...lines.map((line) => element("li", {}, line)));
  if (lines.length <= FEW_LINES) return list;
  return element("details", {}, element("summary", {}, `${lines.length} of them`), list);
}

function heading(text) {
  return element("h2", {}, text);
}

function show(model) {
  const lineage = Object.entries({ model_digest: model.model_digest, ...model.lineage }).filter(([, value]) => value);
  byId("content").replaceChildren(
    facts(model),
    heading("Classes"),
    element("ul", { className: "classes" }, ...model.classes.map((name) => element("li", {}, name))),
    heading("Formats"),
    element("p", {}, "Measured on the test images when the model was exported; differences are those of a "
      + "probability to the model as it was trained, times are for one thread."),
    formats(model),
    heading("Lineage"),
    table([["what", ""], ["value", ""]], lineage.map(([name, value]) => [name.replaceAll("_", " "), [readable(value), ""]])),
    ...(model.commands.length
      ? [element("p", {}, "In the project, these commands tell more:"), element("pre", { tabIndex: 0 }, model.commands.join("\n"))]
      : []),
    ...(model.following.problem ? [element("p", { className: "notice" }, model.following.problem)] : []),
  );
}

async function load() {
  try {
    show(await getJson("/api/model"));
  } catch (error) {
    if (error.status === 401) askForToken();
    else byId("content").replaceChildren(element("p", { className: "notice" }, `No model: ${error.message}.`));
  }
}

connectTokenForm(load);
load();
