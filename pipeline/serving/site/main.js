/** The page: takes in images from all sources, sends a few at a time to the server, and shows the answers. */

import { connectCamera } from "./camera.js";
import { Card } from "./card.js";
import { downloadCsv, downloadJson } from "./downloads.js";
import { byId, element, percent, plural, size } from "./elements.js";
import { classify, getBlob, getJson, RequestError } from "./server.js";
import { askForToken, connectTokenForm } from "./token_form.js";

const AT_ONCE = 4;
const FORM_BYTES = 1000; // what a form adds to a file, at most

const cards = []; // as they are on the page
const waiting = [];
let running = 0;
let model = null;

async function loadModel() {
  try {
    model = await getJson("/api/model");
  } catch (error) {
    if (error.status === 401) {
      askForToken();
      byId("model").textContent = "";
    } else {
      byId("model").textContent = `The model cannot be loaded: ${error.message}.`;
    }
    return;
  }
  showModel();
}

function showModel() {
  const { name, version, candidate, network, scores, limits } = model;
  const interval = `${(100 * scores.accuracy_low).toFixed(1)} to ${(100 * scores.accuracy_high).toFixed(1)}`;
  byId("model").replaceChildren(
    element("strong", {}, `${name}, version ${version}`),
    ` (${name === candidate ? network : `${candidate}, ${network}`}): right on `,
    element("strong", {}, percent(scores.accuracy)),
    ` of ${plural(scores.images, "test image", "test images")} `,
    `(${Math.round(100 * scores.confidence)} % interval ${interval}). `,
    element("a", { href: "/model" }, "Where it comes from"),
  );
  byId("limits").textContent =
    `Up to ${size(limits.body_bytes)} and ${Math.floor(limits.pixels / 1e6)} megapixels each.`;
  showFollowing();
  showSamples(model.samples);
}

function showFollowing() {
  const { problem } = model.following;
  showNotice(problem ? `A different model may be due to answer: ${problem}.` : "");
}

function showNotice(words) {
  byId("notice").hidden = !words;
  byId("notice").textContent = words;
}

function showSamples(names) {
  const buttons = names.map((name) => {
    const image = element("img", { src: `/samples/${encodeURIComponent(name)}`, alt: `Sample ${name}` });
    const button = element("button", { type: "button" }, image);
    button.addEventListener("click", () => addSample(name));
    return element("li", {}, button);
  });
  byId("samples").querySelector("ul").replaceChildren(...buttons);
  byId("samples").hidden = names.length === 0;
}

async function addSample(name) {
  try {
    add([new File([await getBlob(`/samples/${encodeURIComponent(name)}`)], name)]);
    showFollowing(); // instead of the failure of an earlier sample
  } catch (error) {
    showNotice(`The sample cannot be loaded: ${error.message}.`);
  }
}

/** @param {Iterable<File>} files */
function add(files) {
  const added = [...files].map((file) => new Card(file, file.name || "pasted.png", { retry, remove }));
  if (added.length === 0) return;
  cards.unshift(...added);
  byId("cards").prepend(...added.map((card) => card.node));
  byId("results").hidden = false;
  showResults();
  waiting.push(...added);
  proceed();
  tell();
}

/** On a phone they would start below the visible part. */
function showResults() {
  const results = byId("results");
  if (results.getBoundingClientRect().top > 0.5 * innerHeight) results.scrollIntoView();
}

function proceed() {
  while (running < AT_ONCE && waiting.length > 0) {
    running += 1;
    work(waiting.shift()).finally(() => {
      running -= 1;
      proceed();
      tell();
    });
  }
}

async function work(card) {
  if (card.aborted.signal.aborted) return;
  try {
    if (model && card.file.size + FORM_BYTES > model.limits.body_bytes) {
      const limit = size(model.limits.body_bytes);
      throw new RequestError(413, `the file has ${size(card.file.size)}; this server takes up to ${limit}`);
    }
    const answer = await classify(card.file, card.name, (share) => card.progress(share), card.aborted.signal);
    card.succeed(answer.results[0], answer.model);
    const changed = model && (answer.model.name !== model.name || answer.model.version !== model.version);
    if (changed) await loadModel();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) askForToken();
    card.fail(error instanceof RequestError ? error : new RequestError(0, `an error in this page: ${error.message}`));
  }
}

function retry(card) {
  card.wait();
  waiting.push(card);
  proceed();
  tell();
  card.node.querySelector(".remove").focus();
}

function remove(card) {
  const place = cards.indexOf(card);
  cards.splice(place, 1);
  card.remove();
  byId("results").hidden = cards.length === 0;
  // Keyboard users continue at the neighbor instead of at the top of the page.
  const next = cards[Math.min(place, cards.length - 1)];
  (next ? next.node.querySelector(".remove") : byId("files")).focus();
  tell();
}

/** Report progress: always on the page, and to screen readers when all is done. */
function tell() {
  const done = cards.filter((card) => card.result).length;
  const failed = cards.filter((card) => card.problem).length;
  const open = cards.length - done - failed;
  const parts = [`${plural(done, "image", "images")} classified`];
  if (failed) parts.push(`${failed} failed`);
  if (open) parts.push(`${open} to go`);
  byId("tally").textContent = `${parts.join(", ")}.`;
  byId("download-csv").disabled = byId("download-json").disabled = done + failed === 0;
  if (open) return;
  const [latest] = cards;
  const words = cards.length === 1 && latest.result
    ? `${latest.name}: ${latest.result.predicted}, ${percent(latest.result.probability)}`
    : byId("tally").textContent;
  byId("announcement").textContent = cards.length ? words : "No images.";
}

function connectDrop() {
  const drop = byId("drop");
  let inside = 0; // dragenter and dragleave come for every child, too
  const mark = () => drop.classList.toggle("over", inside > 0);
  document.addEventListener("dragenter", () => { inside += 1; mark(); });
  document.addEventListener("dragleave", () => { inside -= 1; mark(); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    mark();
    add(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => add(event.clipboardData.files));
}

function connect() {
  byId("files").addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = ""; // so that the same file can be chosen again
  });
  byId("clear").addEventListener("click", () => {
    cards.splice(0).forEach((card) => card.remove());
    byId("results").hidden = true;
    byId("files").focus();
    tell();
  });
  const settled = () => cards.filter((card) => card.settled).reverse();
  byId("download-csv").addEventListener("click", () => downloadCsv(settled()));
  byId("download-json").addEventListener("click", () => downloadJson(settled()));
  connectDrop();
  connectCamera((file) => add([file]));
  connectTokenForm(async () => {
    await loadModel();
    cards.filter((card) => card.problem?.status === 401).forEach(retry);
  });
}

connect();
loadModel();
