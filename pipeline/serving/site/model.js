/** The model that answers: scores, formats, lineage. */

import { byId, element, percent, size } from "./elements.js";
import { fillPage } from "./token_form.js";

const FEW_LINES = 6;

function fact(value, label, note = "") {
  return element(
    "div",
    {},
    element("dt", {}, label, note ? element("span", { className: "note" }, note) : ""),
    element("dd", {}, value),
  );
}

const RESIZED = { pad: "padded with black", crop: "cropped to the middle", stretch: "stretched" };
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
    fact(pixels, "pixels of its input", `${COLORED[input.color]}; images that are not square are ${RESIZED[input.resize]}`),
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
    format.format === model.format ? `${format.format} (in use)` : format.format,
    [size(format.size_bytes), number],
    [percent(format.accuracy), number],
    [format.largest_difference ? format.largest_difference.toExponential(0) : "none", number],
    [`${format.latency_ms.median.toFixed(2)} ms`, number],
    [Math.round(format.images_per_second).toLocaleString("en"), number],
  ]);
  const head = ["format", "size", "test accuracy", "largest difference", "one image", "images per second"];
  return table(head.map((name, place) => [name, place ? number : ""]), rows);
}

/** A value of the lineage, for people; some values are lists and objects in JSON. */
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
  return element("details", {}, element("summary", {}, `${lines.length} entries`), list);
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
    element("p", {}, "Measured on the test images when the model was exported. The largest difference is that of "
      + "any probability from the trained model's; times are for one thread."),
    formats(model),
    heading("Lineage"),
    table([["what", ""], ["value", ""]], lineage.map(([name, value]) => [name.replaceAll("_", " "), [readable(value), ""]])),
    ...(model.commands.length
      ? [element("p", {}, "These commands tell more, in the project:"), element("pre", { tabIndex: 0 }, model.commands.join("\n"))]
      : []),
    ...(model.following.problem ? [element("p", { className: "notice" }, model.following.problem)] : []),
  );
}

fillPage("/api/model", show, "The model");
