/** Asks for the access token when the server does. */

import { byId } from "./elements.js";
import { setToken, token } from "./server.js";

/** @param {() => void} onToken is called when a token was entered */
export function connectTokenForm(onToken) {
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(byId("token").value.trim());
    byId("token-form").hidden = true;
    onToken();
  });
}

export function askForToken() {
  const form = byId("token-form");
  byId("token-problem").textContent = token() ? "The server does not accept this token." : "";
  if (form.hidden) {
    form.hidden = false;
    byId("token").focus();
  }
}
