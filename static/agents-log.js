/** The events of the fleet, the newest first. Bounded, and still while somebody reads further down. */

import { element } from "./chat-log.js";
import { span, time } from "./agents-format.js";

/** Events kept. */
const KEPT = 500;
/** Events shown, of those that are wanted. */
const SHOWN = 150;

/** What each event says, and how it is marked. */
const EVENTS = {
  task_started: { mark: "started", says: ({ task }) => `took up ${task}` },
  task_finished: { mark: "finished", says: ({ task, seconds }) => `finished ${task} in ${span(seconds * 1_000)}` },
  task_failed: { mark: "failed", says: ({ task, reason }) => `failed at ${task}${reason ? `: ${reason}` : ""}` },
};

export class EventLog {
  #list;
  #scroller;
  #newer;
  #events = [];
  #waiting = [];
  #wanted = () => true;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.list
   * @param {HTMLElement} parts.scroller
   * @param {HTMLButtonElement} parts.newer brings to the newest
   */
  constructor({ list, scroller, newer }) {
    this.#list = list;
    this.#scroller = scroller;
    this.#newer = newer;
    scroller.addEventListener("scroll", () => this.#isAtTop && this.flush(), { passive: true });
    newer.addEventListener("click", () => {
      scroller.scrollTop = 0;
      this.flush();
      scroller.focus();
    });
  }

  get #isAtTop() {
    return this.#scroller.scrollTop < 8;
  }

  clear() {
    this.#events = [];
    this.#waiting = [];
    this.#list.replaceChildren();
    this.flush();
  }

  /** An event came; it is shown with the next `flush`. */
  add({ seq, event, data, timestamp }) {
    if (typeof data !== "object" || data === null) return;
    const text = (value) => (typeof value === "string" ? value : "");
    const entry = { seq, event, at: timestamp, agent: text(data.agent), name: text(data.name) || text(data.agent) };
    const known = EVENTS[event];
    const seconds = Number.isFinite(data.seconds) ? data.seconds : 0;
    entry.mark = known?.mark ?? "other";
    entry.text = known ? known.says({ task: text(data.task), reason: text(data.reason), seconds }) : event;
    this.#events.push(entry);
    if (this.#events.length > KEPT) this.#events.shift();
    this.#waiting.push(entry);
    if (this.#waiting.length > KEPT) this.#waiting.shift();
  }

  /** Shows those for which `wanted` holds, and no others. */
  filter(wanted) {
    this.#wanted = wanted;
    this.#waiting = [];
    const entries = this.#events.filter(wanted).slice(-SHOWN);
    this.#list.replaceChildren(...entries.reverse().map(item));
    this.#drawNewer();
  }

  /** Shows what came since the last time, unless somebody reads further down. */
  flush() {
    if (this.#waiting.length > 0 && this.#isAtTop) {
      const entries = this.#waiting.filter(this.#wanted).slice(-SHOWN);
      this.#waiting = [];
      this.#list.prepend(...entries.reverse().map(item));
      while (this.#list.childElementCount > SHOWN) this.#list.lastElementChild.remove();
    }
    this.#drawNewer();
  }

  #drawNewer() {
    const newer = this.#waiting.filter(this.#wanted).length;
    this.#newer.hidden = newer === 0 || this.#isAtTop;
    const text = `${newer} newer`;
    if (this.#newer.textContent !== text) this.#newer.textContent = text;
  }
}

function item({ at, name, text, mark }) {
  const made = element("li", `happened ${mark}`);
  const when = element("time", "", time(at));
  when.dateTime = new Date(at).toISOString();
  made.append(when, element("span", "mark"), element("p", "", element("strong", "", name), ` ${text}`));
  return made;
}
