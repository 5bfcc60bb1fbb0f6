/** The API as /openapi.json describes it: every operation, its answers and an example. */

import { byId, element } from "./elements.js";
import { fillPage } from "./token_form.js";

const OUTCOMES = { 2: "answer", 4: "refused", 5: "refused" };

function nameOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(nameOf).join(" or ");
  if (schema.type === "array") return `list of ${nameOf(schema.items)}`;
  return schema.title ?? schema.type ?? "any";
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const [content] = Object.values(response.content ?? {});
    const what = OUTCOMES[status[0]] ?? "";
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, status),
      element("td", {}, response.description || what),
      element("td", {}, element("code", {}, nameOf(content?.schema))),
    );
  });
  const head = ["status", "meaning", "body"].map((name) => element("th", { scope: "col" }, name));
  const table = element(
    "table", {},
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
  return element("details", {}, element("summary", {}, "Answers"), element("div", { className: "scroll" }, table));
}

function operation(path, method, described) {
  const example = (described["x-codeSamples"] ?? [])[0]?.source.replaceAll("SERVER", location.origin);
  return [
    element("h3", {}, element("code", {}, element("span", { className: "method" }, method.toUpperCase()), path)),
    ...(described.description ?? described.summary ?? "").split("\n\n").map((text) => element("p", {}, text)),
    ...(example ? [element("pre", { tabIndex: 0 }, example)] : []),
    answers(described),
  ];
}

function schemas(description) {
  return Object.entries(description.components.schemas).flatMap(([name, schema]) => {
    const fields = Object.entries(schema.properties ?? {}).map(([field, type]) =>
      element("li", {}, element("code", {}, field), `: ${nameOf(type)}`));
    return [
      element("h3", {}, element("code", {}, name)),
      ...(schema.description ? [element("p", {}, schema.description)] : []),
      element("ul", {}, ...fields),
    ];
  });
}

function show(description) {
  const byTag = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      const [tag] = described.tags;
      byTag.set(tag, [...(byTag.get(tag) ?? []), ...operation(path, method, described)]);
    }
  }
  byId("content").replaceChildren(
    element("p", {}, description.info.description.replaceAll("`", "")),
    element("p", {}, "For programs: ", element("a", { href: "/openapi.json" }, "/openapi.json"), "."),
    ...[...byTag].flatMap(([tag, parts]) => [element("h2", {}, tag), ...parts]),
    element("h2", {}, "Schemas"),
    ...schemas(description),
  );
}

fillPage("/openapi.json", show, "The description");
