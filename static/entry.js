/**
 * The way in, the same on every page: a name for a guest, or a token. The page
 * has the elements `entry…` and `token…`, and `app` for what is behind.
 */

import { Identity } from "./chat-identity.js";

const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

const $ = (id) => document.getElementById(id);

export class Entry {
  #place;
  #onEnter;

  /**
   * @param {object} hooks
   * @param {() => string} hooks.place what is stepped into
   * @param {(identity: Identity) => void} hooks.onEnter
   */
  constructor({ place, onEnter }) {
    this.#place = place;
    this.#onEnter = onEnter;
    $("entry-form").addEventListener("submit", (event) => this.#submitName(event));
    $("token-form").addEventListener("submit", (event) => this.#submitToken(event));
    $("entry-switch").addEventListener("click", () => {
      this.#chooseForm($("token-form").hidden);
      this.ask();
    });
  }

  /** Goes in as who this tab was before a reload, or asks. */
  begin() {
    const recalled = Identity.recalled();
    if (recalled) this.#enter(recalled);
    else this.ask();
  }

  /** Asks who it is, and says why that is necessary again. */
  ask(problem = "") {
    $("app").hidden = true;
    $("entry").hidden = false;
    $("entry-room").textContent = this.#place();
    $("entry-error").textContent = problem;
    document.title = "Rookery";
    ($("token-form").hidden ? $("entry-name") : $("entry-token")).focus();
  }

  #enter(identity) {
    $("entry").hidden = true;
    $("app").hidden = false;
    this.#onEnter(identity);
  }

  #chooseForm(withToken) {
    $("entry-form").hidden = withToken;
    $("token-form").hidden = $("token-help").hidden = !withToken;
    $("entry-how").textContent = withToken ? "Show your token" : "Pick a name";
    $("entry-switch").textContent = withToken ? "Sign in as a guest" : "I have a token";
  }

  async #signIn(getIdentity, submit) {
    $("entry-error").textContent = "";
    submit.disabled = true;
    try {
      this.#enter(await getIdentity());
    } catch (error) {
      if (error.code === "unauthorized") this.#chooseForm(true);
      this.ask(error.message);
    } finally {
      submit.disabled = false;
    }
  }

  #submitName(event) {
    event.preventDefault();
    const name = $("entry-name").value.trim();
    if (name === "") {
      $("entry-error").textContent = "Type the name that others shall see.";
      $("entry-name").focus();
      return;
    }
    this.#signIn(() => Identity.guest(name), $("entry-submit"));
  }

  #submitToken(event) {
    event.preventDefault();
    const token = $("entry-token").value.trim();
    if (!TOKEN.test(token)) {
      $("entry-error").textContent = "That is not a token: it has three parts with dots between them.";
      return;
    }
    $("entry-token").value = "";
    this.#signIn(async () => Identity.withToken(token), event.submitter);
  }
}
