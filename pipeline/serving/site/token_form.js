/** Asks for the access token when the server does. */

import { byId, element } from "./elements.js";
import { getJson, setToken, token } from "./server.js";

/** @param {() => void} onToken is called when a token was entered */
export function connectTokenForm(onToken) {
  const form = element(
    "form",
    { className: "token", hidden: true },
    element("input", { type: "text", autocomplete: "username", value: "access token", hidden: true }),
    element("label", { htmlFor: "token" }, "This server asks for an access token"),
    element(
      "div",
      { className: "line" },
      element("input", { id: "token", type: "password", autocomplete: "current-password", required: true }),
      element("button", { className: "primary" }, "Use this token"),
    ),
    element("p", { className: "hint", id: "token-problem", role: "alert" }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(byId("token").value.trim());
    form.hidden = true;
    onToken();
  });
  document.querySelector("main").prepend(form);
}

export function askForToken() {
  const [field, problem] = [byId("token"), byId("token-problem")];
  problem.textContent = token() ? "The server does not accept this token." : "";
  if (field.form.hidden) {
    field.form.hidden = false;
    field.focus();
  }
}

/**
 * Fill a page with what the server answers, once it has the token that the server asks for.
 *
 * @param {string} path of the JSON
 * @param {(values: object) => void} show
 * @param {string} called what that is, in the message that it cannot be loaded
 */
export function fillPage(path, show, called) {
  async function load() {
    try {
      show(await getJson(path));
    } catch (error) {
      if (error.status === 401) askForToken();
      else byId("content").replaceChildren(element("p", { className: "notice" }, `${called} cannot be loaded: ${error.message}.`));
    }
  }
  connectTokenForm(load);
  load();
}
