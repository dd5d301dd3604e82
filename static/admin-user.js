/** One user: whether it is there, its sessions, and what can be done about it. */

import { element } from "./chat-log.js";
import { time } from "./agents-format.js";
import { Poll } from "./admin-api.js";
import { lasts, link, rows } from "./admin-format.js";

const EVERY_MS = 3_000;

const $ = (id) => document.getElementById(id);

export class UserView {
  #poll = null;
  #api = null;
  #name = "";
  #heard = null;

  constructor() {
    $("user-disconnect").addEventListener("click", () =>
      this.#do({
        title: `Disconnect ${this.#name}?`,
        text: "All its sessions, on all nodes, are closed. Clients that keep to the protocol stay away until somebody connects them again. Its tokens go on being valid: it may come back at once.",
        yes: "Disconnect",
        path: `${this.#path}/disconnect`,
        done: "All nodes were told to close its sessions.",
      }),
    );
    $("user-revoke").addEventListener("click", () =>
      this.#do({
        title: `Disconnect ${this.#name} and revoke its tokens?`,
        text: "All its sessions, on all nodes, are closed, and every token that was made for it up to now is refused. This cannot be taken back. It comes back only with a token made after this.",
        yes: "Disconnect and revoke",
        path: `${this.#path}/disconnect`,
        body: { revoke: true },
        done: "Its sessions were closed, and its tokens up to now are refused.",
      }),
    );
    $("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const jti = $("token-id").value;
      if (jti === "") return;
      this.#do({
        title: "Revoke this token?",
        text: `The token with the jti “${jti}”, whoever’s it is, is refused from now on, and sessions that showed it are closed. This cannot be taken back.`,
        yes: "Revoke",
        path: `/tokens/${encodeURIComponent(jti)}/revoke`,
        reason: false,
        done: "The token is refused from now on.",
      }).then((isDone) => isDone && ($("token-id").value = ""));
    });
  }

  get #path() {
    return `/users/${encodeURIComponent(this.#name)}`;
  }

  begin({ api, name, heard }) {
    [this.#api, this.#name, this.#heard] = [api, name, heard];
    $("user-name").textContent = name;
    $("sessions").replaceChildren();
    for (const id of ["sessions-note", "user-problem", "done"]) $(id).textContent = "";
    $("user-status").textContent = "–";
    $("token-id").value = "";
    for (const [part, scope, body] of [["user", "presence", "user-body"], ["disconnect", "disconnect", "disconnect-tools"]]) {
      const may = api.may(scope);
      $(`${part}-needs`).hidden = may;
      $(`${part}-needs`).textContent =
        part === "user" ? "To see its sessions needs a key with the scope presence." : "To disconnect it needs a key with the scope disconnect.";
      $(body).hidden = !may;
    }
    if (!api.may("presence")) return;
    this.#poll = new Poll(EVERY_MS, async (signal) => {
      try {
        const [found, { sessions, silent }] = await Promise.all([api.get(this.#path, signal), api.get(`${this.#path}/sessions`, signal)]);
        heard(null);
        $("user-problem").textContent = "";
        this.#draw(found, sessions, silent);
      } catch (error) {
        if (signal.aborted) return;
        heard(error);
        if (error.kind !== "away") $("user-problem").textContent = error.message;
      }
    });
  }

  end() {
    this.#poll?.end();
    this.#poll = null;
  }

  #draw({ status, online, since, sessions: known }, sessions, silent) {
    $("user-dot").dataset.status = status;
    const state = !online
      ? "Offline"
      : known === 0
        ? "Online for a moment more: its last session ended, and the grace lasts"
        : `${status[0].toUpperCase()}${status.slice(1)} since ${time(since)}`;
    if ($("user-status").textContent !== state) $("user-status").textContent = state;
    $("sessions-note").textContent = silent.length > 0 ? `Not shown: those with ${silent.join(", ")}, which did not answer.` : sessions.length === 0 ? "It has no session." : "";
    const now = Date.now();
    const may = this.#api.may("disconnect");
    rows($("sessions"), sessions, ({ session }) => session, ({ session, node, since: began, transport, rooms, room_count: all }) => {
      const id = element("code", "", session.slice(0, 8));
      id.title = session;
      const list = element("span", "room-list", ...rooms.map((room) => link("room", room)));
      if (all > rooms.length) list.append(element("span", "help", `and ${all - rooms.length} more`));
      const end = element("button", "quiet small", "Disconnect…");
      end.type = "button";
      end.setAttribute("aria-label", `Disconnect the session ${session.slice(0, 8)}`);
      end.addEventListener("click", () => this.#endSession(session, node));
      return [id, node, transport === "events" ? "Events" : "WebSocket", element("span", "figure", lasts(now - began)), rooms.length || all ? list : "none", may ? end : ""];
    });
  }

  #endSession(session, node) {
    return this.#do({
      title: `Disconnect one session of ${this.#name}?`,
      text: `The session ${session.slice(0, 8)}, on ${node}, is closed; the others stay. Its token goes on being valid: its client may come back at once.`,
      yes: "Disconnect",
      path: `${this.#path}/sessions/${encodeURIComponent(session)}/disconnect`,
      done: "All nodes were told to close that session.",
    });
  }

  /** Asks, does it, and says what became of it. */
  async #do({ title, text, yes, path, body = {}, reason = true, done }) {
    const [api, name] = [this.#api, this.#name];
    const why = await confirm({ title, text, yes, reason });
    // Where the page went on meanwhile, it is not meant any more.
    if (why === null || api !== this.#api || name !== this.#name) return false;
    $("done").textContent = "Working…";
    $("done").classList.remove("error");
    try {
      await api.post(path, { ...body, ...(why && { reason: why }) });
      $("done").textContent = done;
      return true;
    } catch (error) {
      this.#heard(error);
      $("done").textContent = `It may not have been done. ${error.message}`;
      $("done").classList.add("error");
      return false;
    } finally {
      this.#poll?.now();
    }
  }
}

/** Asks whether it is meant; answers the reason, or null for no. */
function confirm({ title, text, yes, reason }) {
  const dialog = $("confirm");
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  $("confirm-why").value = "";
  $("confirm-why").hidden = $("confirm-why-label").hidden = !reason;
  dialog.returnValue = "no";
  dialog.showModal();
  // Enter in the reason must not do what is not looked at: the first button is the one that does nothing.
  dialog.querySelector("[value=no]").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? $("confirm-why").value.trim() : null), { once: true });
  });
}
