/** One room: who is in it, the end of its log as it grows, and its shared state. */

import { element } from "./chat-log.js";
import { count } from "./agents-format.js";
import { Poll } from "./admin-api.js";
import { Feed } from "./admin-feed.js";
import { lasts, link, moment, rows } from "./admin-format.js";

const MEMBERS_MS = 3_000;
const TAIL_MS = 2_000;
const STATE_MS = 5_000;
/** Messages to begin with, and how many are read at once after that. */
const FIRST = 30;
const MORE = 200;
const KEPT = 200;
const KEYS = 200;
/** So much of a value is shown. */
const VALUE = 400;

const $ = (id) => document.getElementById(id);
const write = (id, text) => {
  if ($(id).textContent !== text) $(id).textContent = text;
};

export class RoomView {
  #polls = [];
  #place = null;
  #feed = new Feed({ list: $("tail-list"), scroller: $("tail"), newer: $("tail-newer"), make: item, kept: KEPT });

  begin({ api, name, heard }) {
    const path = `/rooms/${encodeURIComponent(name)}`;
    this.#place = null;
    this.#feed.clear();
    for (const id of ["members", "state"]) $(id).replaceChildren();
    for (const id of ["members-note", "state-note", "room-problem"]) $(id).textContent = "";
    for (const id of ["room-count", "room-seq", "room-epoch"]) $(id).textContent = "–";
    $("room-name").textContent = name;
    const poll = (every, act) =>
      this.#polls.push(
        new Poll(every, async (signal) => {
          try {
            await act(signal);
            heard(null);
            write("room-problem", "");
          } catch (error) {
            if (signal.aborted) return;
            heard(error);
            if (error.kind !== "away") write("room-problem", error.message);
          }
        }),
      );
    const part = (id, scope, every, act) => {
      const may = api.may(scope);
      $(`${id}-needs`).hidden = may;
      $(`${id}-needs`).textContent = `This needs a key with the scope ${scope}.`;
      $(`${id}-body`).hidden = !may;
      if (may) poll(every, act);
    };
    part("members", "presence", MEMBERS_MS, async (signal) => this.#members(await api.get(`${path}/presence`, signal)));
    part("tail", "history", TAIL_MS, async (signal) => this.#tail(api, path, signal));
    part("state", "history", STATE_MS, async (signal) => this.#state(await api.get(`${path}/state?limit=${KEYS}`, signal)));
  }

  end() {
    for (const poll of this.#polls) poll.end();
    this.#polls = [];
  }

  #members({ members, count: all }) {
    write("room-count", count(all));
    write("members-note", all > 0 && members.length === 0 ? "More members than rooms.presence_limit: the server tells their number alone." : all === 0 ? "Nobody is here." : "");
    const now = Date.now();
    rows($("members"), members, ({ user }) => user, ({ user, name, status, sessions, since }) => {
      const who = element("span", "member-name", link("user", user));
      if (name !== user) who.append(element("span", "member-alias", name));
      const dot = element("span", "dot");
      dot.dataset.status = status;
      dot.setAttribute("aria-hidden", "true");
      return [who, element("span", `state ${status}`, dot, status), element("span", "figure", sessions === 0 ? "grace" : count(sessions)), element("span", "figure", lasts(now - since))];
    });
  }

  async #tail(api, path, signal) {
    const query = this.#place ? `after=${this.#place.seq}&limit=${MORE}` : `limit=${FIRST}`;
    const { epoch, messages, more } = await api.get(`${path}/messages?${query}`, signal);
    if (this.#place && this.#place.epoch !== epoch) {
      this.#place = null;
      this.#feed.add({ note: `The log began anew, in the epoch ${epoch}.` });
      return this.#tail(api, path, signal);
    }
    const first = messages[0]?.seq;
    if (this.#place && first > this.#place.seq + 1) this.#feed.add({ note: `${first - this.#place.seq - 1} messages are not in the log any more.` });
    this.#feed.add(...messages);
    this.#place = { epoch, seq: messages.at(-1)?.seq ?? this.#place?.seq ?? 0 };
    write("room-seq", count(this.#place.seq));
    write("room-epoch", epoch);
    // A log that grows faster than it is read is followed from its end.
    if (more && this.#place.seq && query.startsWith("after")) this.#place = null;
  }

  #state({ state, more }) {
    const entries = Object.entries(state);
    write("state-note", entries.length === 0 ? "No key is set." : more ? `The first ${KEYS} keys are shown.` : "");
    rows($("state"), entries, ([key]) => key, ([key, { value, version }]) => [
      key,
      element("span", "figure", count(version)),
      element("code", "value", cut(JSON.stringify(value))),
    ]);
  }
}

const cut = (text) => (text.length > VALUE ? `${text.slice(0, VALUE)}…` : text);

function item(entry) {
  if (entry.note) return element("li", "trace-note", entry.note);
  const { seq, user, timestamp, type } = entry;
  const head = element("p", "tail-head", user === null ? element("span", "", "a backend") : link("user", user), element("span", "tail-seq", String(seq)), moment(timestamp));
  const made = element("li", "tail-item", head);
  if (type === "chat") made.append(element("p", "tail-text", cut(entry.content)));
  else {
    const [name, value] = type === "set" ? [`${entry.key} =`, entry.value] : [entry.event, entry.data];
    made.append(element("p", "tail-text", element("span", "tail-kind", name), " ", element("code", "", cut(JSON.stringify(value)))));
  }
  return made;
}
