/** What happens to one user or in one room, live, over a WebSocket. */

import { element } from "./chat-log.js";
import { Feed } from "./admin-feed.js";
import { bytes, link, moment } from "./admin-format.js";

/** Events shown. */
const KEPT = 500;
/** How long to wait before a trace that was lost is begun again: at first, and at most. */
const RETRY_MS = [1_000, 15_000];

const $ = (id) => document.getElementById(id);

const PUBLISHED = { chat: "wrote a message", event: "published an event", set: "set a key", signal: "sent a signal", typing: "typed" };

/** What each event says, by `what`. */
const SAYS = {
  connected: ({ transport }) => `connected by ${transport === "events" ? "a stream of events" : "WebSocket"}`,
  turned_away: ({ message }) => `was turned away: ${message}`,
  ended: ({ reason, seconds }) => `ended after ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s: ${reason}`,
  joined: ({ seq, recovered }) => `joined at ${seq}${recovered === undefined ? "" : recovered ? ", resumed" : ", could not resume"}`,
  left: () => "left",
  published: ({ kind, name, bytes: size, seq, duplicate }) => `${said(kind, name)}, ${bytes(size)}, at ${seq}${duplicate ? ", a duplicate" : ""}`,
  relayed: ({ kind, name, bytes: size }) => said(kind, name) + (size ? `, ${bytes(size)}` : ""),
  direct: ({ to, bytes: size, seq }) => `wrote to ${to}, ${bytes(size)}, at ${seq} of the inbox`,
  refused: ({ code, message }) => `was refused (${code}): ${message}`,
  status: ({ status }) => `is ${status}`,
  present: ({ sessions }) => (sessions === 0 ? "has no session here, within the grace" : `has ${sessions} here`),
  absent: () => "is not present any more",
  refreshed: () => "showed a new token",
};
const BAD = new Set(["turned_away", "refused"]);
const QUIET = new Set(["present", "absent", "status", "relayed", "refreshed"]);

const said = (kind, name) => (PUBLISHED[kind] ?? kind) + (name === undefined ? "" : ` “${name}”`);

const markOf = ({ what, reason }) =>
  BAD.has(what) || reason === "slow_consumer" || reason === "rate_limited" ? "bad" : QUIET.has(what) ? "plain" : what === "published" ? "full" : "open";

function item(event) {
  if (event.note) return element("li", "trace-note", event.note);
  const { at, node, user, session, room, what, content } = event;
  const says = element("p", "trace-says");
  says.append(user === undefined ? "A backend" : link("user", user), " ", SAYS[what]?.(event) ?? what);
  const where = element("p", "trace-where", node);
  if (session !== undefined) where.append(" · ", element("code", "", session.slice(0, 8)));
  if (room !== undefined) where.append(" · ", link("room", room));
  const made = element("li", "trace-item", moment(at), element("span", `mark ${markOf(event)}`), element("div", "", says, where));
  if (content !== undefined) made.lastElementChild.append(element("pre", "trace-content", typeof content === "string" ? content : JSON.stringify(content)));
  return made;
}

/** The trace of the page that is shown: one at a time. */
export class Trace {
  #api = null;
  #subject = null;
  #socket = null;
  #timer = null;
  #failures = 0;
  #feed = new Feed({ list: $("trace-list"), scroller: $("trace-events"), newer: $("trace-newer"), make: item, kept: KEPT });

  constructor() {
    $("trace-toggle").addEventListener("click", () => (this.#subject.on ? this.stop() : this.#start()));
    $("trace-content").addEventListener("change", () => {
      if (!this.#subject?.on) return;
      this.stop();
      this.#start();
    });
  }

  /** Which user or room is shown; a trace of another one ends. */
  show(api, subject) {
    this.stop();
    this.#api = api;
    this.#subject = subject;
    this.#feed.clear();
    const may = api.may("trace");
    $("trace-needs").hidden = may;
    $("trace-tools").hidden = !may;
    $("trace-frame").hidden = true;
    $("trace-content").checked = false;
    $("trace-content-label").hidden = !api.may("history");
    this.#say("Not running.");
  }

  stop() {
    if (this.#subject) this.#subject.on = false;
    this.#end();
    this.#say("Stopped.");
  }

  #end() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#draw();
  }

  #start() {
    this.#subject.on = true;
    $("trace-frame").hidden = false;
    this.#failures = 0;
    this.#open();
  }

  #open() {
    this.#end();
    this.#say("Connecting…");
    const socket = new WebSocket(new URL("/api/v1/trace", location.href.replace(/^http/, "ws")));
    this.#socket = socket;
    const { kind, name } = this.#subject;
    socket.addEventListener("open", () => socket.send(JSON.stringify({ key: this.#api.key, [kind]: name, content: $("trace-content").checked })));
    socket.addEventListener("message", ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data)));
    socket.addEventListener("close", () => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      if (!this.#subject.on) return this.#draw();
      const wait = Math.min(RETRY_MS[1], RETRY_MS[0] * 2 ** this.#failures++);
      this.#say(`The connection is lost. Trying again in ${Math.round(wait / 1_000)} s.`);
      this.#timer = setTimeout(() => this.#open(), wait);
    });
    this.#draw();
  }

  #hear(event) {
    switch (event.type) {
      case "tracing":
        this.#failures = 0;
        if (!this.#feed.isEmpty) this.#feed.add({ note: "Begun again. What happened before this is not shown." });
        this.#say(`Running, on ${event.node} and all nodes it reaches.`);
        break;
      case "happened":
        this.#feed.add(event);
        break;
      case "dropped":
        this.#feed.add({ note: `${event.count} left out here: more happened than could be told.` });
        break;
      case "error":
        this.#subject.on = false;
        this.#say(event.message);
        this.#draw();
        break;
      default:
    }
  }

  #say(text) {
    $("trace-state").textContent = text;
  }

  #draw() {
    const isOn = this.#subject?.on ?? false;
    $("trace-toggle").textContent = isOn ? "Stop" : "Start the trace";
    $("trace-state").dataset.state = isOn && this.#socket ? "on" : "off";
  }
}
