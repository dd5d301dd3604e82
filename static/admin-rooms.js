/** The rooms with the most members. */

import { element } from "./chat-log.js";
import { count } from "./agents-format.js";
import { Poll } from "./admin-api.js";
import { address, link, rows } from "./admin-format.js";

const EVERY_MS = 5_000;
/** Typing is over after so long. */
const TYPING_MS = 300;
const PAGE = 50;
const MOST = 1_000;

const $ = (id) => document.getElementById(id);

export class RoomsView {
  #poll = null;
  #rooms = [];
  #page = 0;
  #match = "";
  #typing = null;

  constructor() {
    $("rooms-filter").addEventListener("submit", (event) => event.preventDefault());
    $("rooms-match").addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#filter(), TYPING_MS);
    });
    for (const [id, by] of [["rooms-back", -1], ["rooms-on", 1]]) {
      $(id).addEventListener("click", () => {
        this.#page += by;
        this.#draw();
      });
    }
  }

  begin({ api, name, heard }) {
    const may = api.may("rooms");
    $("rooms-needs").hidden = may;
    $("rooms-needs").textContent = "This needs a key with the scope rooms.";
    $("rooms-body").hidden = !may;
    [this.#rooms, this.#page, this.#match] = [[], 0, name];
    if ($("rooms-match").value !== name) $("rooms-match").value = name;
    if (!may) return;
    this.#draw();
    $("rooms-count").textContent = "Looking…";
    this.#poll = new Poll(EVERY_MS, async (signal) => {
      const match = this.#match;
      const query = new URLSearchParams({ limit: MOST, ...(match && { match: match.includes("*") ? match : `${match}*` }) });
      try {
        const found = await api.get(`/largest-rooms?${query}`, signal);
        heard(null);
        if (match !== this.#match) return;
        $("rooms-problem").textContent = "";
        this.#rooms = found.rooms;
        $("rooms-count").textContent = found.complete
          ? `${count(found.looked_at)} ${found.looked_at === 1 ? "room" : "rooms"}`
          : `Only ${count(found.looked_at)} rooms were looked at: narrow it to find others`;
        this.#draw();
      } catch (error) {
        if (signal.aborted) return;
        heard(error);
        if (error.kind === "refused") $("rooms-problem").textContent = error.message;
      }
    });
  }

  end() {
    clearTimeout(this.#typing);
    this.#poll?.end();
    this.#poll = null;
  }

  /** The address follows what is typed, so that a reload finds it; the way back does not go through every letter. */
  #filter() {
    if (!this.#poll) return;
    this.#match = $("rooms-match").value.trim();
    this.#page = 0;
    history.replaceState(null, "", this.#match ? address("rooms", this.#match) : "#rooms");
    this.#poll.now();
  }

  #draw() {
    const pages = Math.max(1, Math.ceil(this.#rooms.length / PAGE));
    this.#page = Math.min(Math.max(0, this.#page), pages - 1);
    const entries = this.#rooms.slice(this.#page * PAGE, (this.#page + 1) * PAGE);
    rows($("rooms-list"), entries, ({ room }) => room, ({ room, members, epoch, seq }) => [
      link("room", room),
      element("span", "figure", count(members)),
      element("span", "figure", count(seq)),
      element("code", "", epoch),
    ]);
    $("rooms-page").textContent = pages === 1 ? "" : `${this.#page + 1} of ${pages}`;
    $("rooms-back").disabled = this.#page === 0;
    $("rooms-on").disabled = this.#page === pages - 1;
    $("rooms-back").parentElement.hidden = pages === 1;
  }
}
