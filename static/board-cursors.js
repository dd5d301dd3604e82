/**
 * Where everybody points. A cursor is told as a place in a card or a column, not
 * on the screen: others have other windows, and have scrolled elsewhere.
 */

import { element, icon, toneOf } from "./chat-log.js";

/** 25 times a second: enough for the eye, and half of what a session may send. */
const TELL_MS = 40;
/** A cursor that rests so long goes. */
const IDLE_MS = 60_000;
const SWEEP_MS = 5_000;

/** Tells the others where this pointer is. */
export class OwnCursor {
  #board;
  #tell;
  #next = null;
  #told = null;
  #timer;

  /**
   * @param {HTMLElement} board
   * @param {(at: {on: string, x: number, y: number} | null) => void} tell
   */
  constructor(board, tell) {
    this.#board = board;
    this.#tell = tell;
    board.addEventListener("pointermove", (event) => this.#move(event));
    board.addEventListener("pointerleave", () => this.hide());
    document.documentElement.addEventListener("pointerleave", () => this.hide());
    window.addEventListener("blur", () => this.hide());
    document.addEventListener("visibilitychange", () => document.hidden && this.hide());
    window.addEventListener("pagehide", () => this.hide());
  }

  hide() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#next = null;
    if (this.#told === null) return;
    this.#told = null;
    this.#tell(null);
  }

  #move(event) {
    const under = document.elementFromPoint(event.clientX, event.clientY);
    const anchor = under?.closest(".card, .column");
    if (!anchor || !this.#board.contains(anchor)) return this.hide();
    const box = anchor.getBoundingClientRect();
    this.#next = { on: anchor.dataset.key, x: round((event.clientX - box.left) / box.width), y: round((event.clientY - box.top) / box.height) };
    this.#timer ??= setTimeout(() => this.#send(), this.#told === null ? 0 : TELL_MS);
  }

  #send() {
    this.#timer = undefined;
    if (!this.#next) return;
    this.#told = this.#next;
    this.#tell(this.#next);
  }
}

const round = (fraction) => Math.round(fraction * 1000) / 1000;

/** Shows where the others point. */
export class Cursors {
  #layer;
  #board;
  #hooks;
  #cursors = new Map(); // user → {at, since, element}
  #placeDue = false;

  /**
   * @param {HTMLElement} layer
   * @param {HTMLElement} board
   * @param {object} hooks
   * @param {(key: string) => HTMLElement | undefined} hooks.elementOf of a card or a column
   * @param {(user: string) => string} hooks.nameOf
   */
  constructor(layer, board, hooks) {
    this.#layer = layer;
    this.#board = board;
    this.#hooks = hooks;
    // Scrolling, of the board or of a column, moves what they point at.
    board.addEventListener("scroll", () => this.placeSoon(), { capture: true, passive: true });
    window.addEventListener("resize", () => this.placeSoon());
    setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** A signal came: `at` as told by `OwnCursor`, null to hide. */
  show(user, at) {
    if (!isPlace(at)) return this.remove(user);
    const cursor = this.#cursors.get(user) ?? this.#newCursor(user);
    cursor.at = at;
    cursor.since = Date.now();
    this.placeSoon();
  }

  remove(user) {
    this.#cursors.get(user)?.element.remove();
    this.#cursors.delete(user);
  }

  clear() {
    for (const user of [...this.#cursors.keys()]) this.remove(user);
  }

  placeSoon() {
    if (this.#placeDue || this.#cursors.size === 0) return;
    this.#placeDue = true;
    requestAnimationFrame(() => {
      this.#placeDue = false;
      for (const cursor of this.#cursors.values()) this.#place(cursor);
    });
  }

  #newCursor(user) {
    const made = element("div", "cursor", icon("pointer"), element("span", "tag", this.#hooks.nameOf(user)));
    made.dataset.user = user;
    made.dataset.tone = toneOf(user);
    made.hidden = true;
    this.#layer.append(made);
    const cursor = { element: made };
    this.#cursors.set(user, cursor);
    return cursor;
  }

  #place({ element: cursor, at }) {
    const anchor = this.#hooks.elementOf(at.on);
    const box = anchor?.getBoundingClientRect();
    const frame = this.#board.getBoundingClientRect();
    const x = box && box.left + at.x * box.width;
    const y = box && box.top + at.y * box.height;
    const inSight = box && x >= frame.left && x <= frame.right && y >= frame.top && y <= frame.bottom;
    if (!inSight) {
      cursor.hidden = true;
      return;
    }
    cursor.style.transform = `translate(${x}px, ${y}px)`;
    cursor.hidden = false;
  }

  #sweep() {
    for (const [user, { since }] of this.#cursors) if (Date.now() - since > IDLE_MS) this.remove(user);
  }
}

const isPlace = (at) =>
  typeof at?.on === "string" && [at.x, at.y].every((fraction) => Number.isFinite(fraction) && fraction >= 0 && fraction <= 1);
