// The form that asks for the device's token.

import { ask, Refused } from "./stream.js";
import { byId } from "./words.js";

export class SignIn {
  constructor(onDone) {
    this.onDone = onDone;
    byId("sign-in-form").addEventListener("submit", (event) => this._submit(event));
  }

  show(needed) {
    const form = byId("sign-in");
    if (form.hidden !== needed) return;
    form.hidden = !needed;
    byId("panels").hidden = needed;
    byId("pause").hidden = needed;
    if (needed) byId("token").focus();
  }

  async _submit(event) {
    event.preventDefault();
    const field = byId("token");
    const body = JSON.stringify({ token: field.value.trim() });
    const headers = { "Content-Type": "application/json" };
    byId("sign-in-error").textContent = "";
    try {
      await ask("session", { method: "POST", body, headers });
    } catch (error) {
      this._fail(error);
      return;
    }
    field.value = "";
    byId("sign-in").hidden = true;
    byId("panels").hidden = false;
    byId("pause").hidden = false;
    this.onDone();
    byId("main").focus();
  }

  _fail(error) {
    const wrong = error instanceof Refused ? "That is not the token of this device." : "";
    const gone = error.name === "TypeError" ? "The device does not answer." : "";
    byId("sign-in-error").textContent = wrong || gone || error.message;
    byId("token").select();
  }
}
