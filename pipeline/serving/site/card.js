/** One image on the page: its picture, its progress, and what became of it. */

import { byId, element, percent } from "./elements.js";

const SHOWN_CLASSES = 5;
const COARSE_PIXELS = 64;

export class Card {
  /**
   * @param {File|Blob} file the image
   * @param {string} name its name
   * @param {{retry: (card: Card) => void, remove: (card: Card) => void}} actions
   */
  constructor(file, name, actions) {
    this.file = file;
    this.name = name;
    this.result = null;
    this.problem = null;
    this.model = null;
    this.aborted = new AbortController();
    this.node = byId("card").content.firstElementChild.cloneNode(true);
    this.find(".name").textContent = name;
    this.find(".name").title = name;
    this.find(".remove").setAttribute("aria-label", `Remove ${name}`);
    this.find(".remove").addEventListener("click", () => actions.remove(this));
    this.find(".retry").addEventListener("click", () => actions.retry(this));
    this.find(".all").addEventListener("click", () => this.toggleAll());
    this.showPicture();
    this.wait();
  }

  find(selector) {
    return this.node.querySelector(selector);
  }

  get settled() {
    return this.result !== null || this.problem !== null;
  }

  showPicture() {
    const image = this.find("img");
    this.address = URL.createObjectURL(this.file);
    image.addEventListener("load", () => {
      image.classList.toggle("coarse", Math.max(image.naturalWidth, image.naturalHeight) <= COARSE_PIXELS);
    });
    // Browsers cannot show every format that the server reads.
    image.addEventListener("error", () => {
      const extension = this.name.includes(".") ? this.name.split(".").pop().slice(0, 5) : "?";
      image.replaceWith(element("span", { ariaHidden: "true" }, extension));
    });
    image.src = this.address;
  }

  wait() {
    this.result = this.problem = null;
    this.show("state", "Waiting…");
    this.find("progress").value = 0;
  }

  /** @param {number} share of the file that has been sent, 0 to 1 */
  progress(share) {
    const progress = this.find("progress");
    if (share < 1) {
      this.show("state", "Uploading…");
      progress.value = share;
    } else {
      this.show("state", "Classifying…");
      progress.removeAttribute("value");
    }
  }

  succeed(result, model) {
    this.result = result;
    this.model = model;
    this.find(".verdict").replaceChildren(
      result.predicted,
      element("span", { className: "share" }, percent(result.probability)),
    );
    const more = result.classes.length > SHOWN_CLASSES;
    this.find(".all").hidden = !more;
    this.showClasses(false);
    this.show("outcome");
  }

  fail(problem) {
    this.problem = problem;
    this.find(".reason").textContent = sentence(problem.message);
    this.find(".retry").hidden = !problem.passing;
    this.show("failure");
  }

  remove() {
    this.aborted.abort();
    URL.revokeObjectURL(this.address);
    this.node.remove();
  }

  toggleAll() {
    this.showClasses(this.find(".all").getAttribute("aria-expanded") !== "true");
  }

  showClasses(all) {
    const classes = all ? this.result.classes : this.result.classes.slice(0, SHOWN_CLASSES);
    this.find(".bars").replaceChildren(...classes.map(bar));
    this.find(".bars").setAttribute("aria-label", all ? "All classes" : "The most probable classes");
    const button = this.find(".all");
    button.setAttribute("aria-expanded", String(all));
    button.textContent = all ? "Show fewer" : `Show all ${this.result.classes.length} classes`;
  }

  show(part, stage = "") {
    for (const name of ["state", "outcome", "failure"]) this.find(`.${name}`).hidden = name !== part;
    this.find(".stage").textContent = stage;
    this.node.classList.toggle("failed", part === "failure");
    this.node.setAttribute("aria-busy", String(part === "state"));
  }
}

function bar({ name, probability }) {
  const row = element(
    "li",
    {},
    element("span", { className: "class", title: name }, name),
    element("span", {}, percent(probability)),
  );
  row.style.setProperty("--share", `${100 * probability}%`);
  return row;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
