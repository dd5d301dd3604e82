/**
 * The columns and their cards as elements. What is drawn anew keeps its element,
 * and with it the focus; everything people wrote enters the page as text.
 */

import { element, icon, toneOf } from "./chat-log.js";

const $ = (id) => document.getElementById(id);

const GLIDE = { duration: 180, easing: "ease-out" };
const HIDDEN_FRAME_MS = 250;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class BoardScreen {
  #hooks;
  #model;
  #columns = new Map(); // key → element
  #cards = new Map();
  #moved = new Set();
  #isDue = false;
  #isDueLater = false;

  /**
   * @param {object} hooks
   * @param {(key: string) => {user: string, editing: boolean}[]} hooks.holdersOf the others who have a card selected
   * @param {(user: string) => string} hooks.nameOf
   * @param {(key: string) => string} hooks.writerOf
   * @param {() => void} hooks.onDrawn
   */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  /** Shows another board, or none. */
  attach(model) {
    this.#model = model;
    this.#columns.clear();
    this.#cards.clear();
    $("columns").replaceChildren();
  }

  /** Draws what this person did, before anything else happens. */
  drawSoon() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => this.#isDue && this.#draw());
  }

  /** Draws what came from outside, all of a frame at once; cards in `moved` glide to their new place. */
  drawWithNextFrame(moved = []) {
    for (const key of moved) this.#moved.add(key);
    if (this.#isDueLater) return;
    this.#isDueLater = true;
    const draw = () => this.#isDueLater && this.#draw();
    if (document.hidden) setTimeout(draw, HIDDEN_FRAME_MS); // a page out of sight has no frames
    else requestAnimationFrame(draw);
  }

  cardElement(key) {
    return this.#cards.get(key);
  }

  columnElement(key) {
    return this.#columns.get(key);
  }

  /** Puts the focus on a card. */
  focusCard(key) {
    const face = this.#cards.get(key)?.querySelector(".card-face");
    face?.focus({ preventScroll: true });
    face?.scrollIntoView({ block: "nearest", inline: "nearest" });
    return Boolean(face);
  }

  #draw() {
    this.#isDue = this.#isDueLater = false;
    if (!this.#model) return;
    const columns = this.#model.columns();
    const focused = document.activeElement;
    const from = this.#placesBefore();

    const shown = columns.map((column) => this.#drawColumn(column));
    keepOnly(this.#columns, columns);
    keepOnly(this.#cards, columns.flatMap(({ cards }) => cards));
    arrange($("columns"), shown);

    // An element that changed its place in the document has lost the focus.
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
    this.#glide(from);
    this.#hooks.onDrawn();
  }

  // -- columns --

  #drawColumn(column) {
    const made = this.#columns.get(column.key) ?? this.#newColumn(column);
    const { heading, count, list, edit, input } = made.parts;
    setText(heading, column.title || "Without a name");
    setText(count, String(column.cards.length));
    edit.setAttribute("aria-label", `Change the column ${column.title}`);
    input.setAttribute("aria-label", `Add a card to ${column.title}`);
    made.dataset.state = this.#model.pending.stateOf(column.key);
    const cards = column.cards.map((card) => this.#drawCard(card));
    // The gap of a card being dragged stays where it is.
    arrange(list, cards, (child) => child.classList.contains("gap"));
    return made;
  }

  #newColumn({ key, id }) {
    const heading = element("h2", "column-title");
    heading.id = `column-${id}`;
    const count = element("span", "count");
    const edit = button("icon-button column-edit", icon("more"));
    edit.dataset.action = "column";
    const list = element("ol", "cards");
    list.dataset.column = id;
    list.setAttribute("aria-labelledby", heading.id);
    const input = element("input", "");
    Object.assign(input, { placeholder: "Add a card", maxLength: 200, autocomplete: "off" });
    const add = button("icon-button", icon("plus"));
    add.type = "submit";
    add.setAttribute("aria-label", "Add the card");
    const form = element("form", "add-card", input, add);
    form.noValidate = true;
    form.dataset.column = id;
    const made = element("section", "column", element("div", "column-head", heading, count, edit), list, form);
    made.dataset.key = key;
    made.setAttribute("aria-labelledby", heading.id);
    made.parts = { heading, count, list, edit, input };
    this.#columns.set(key, made);
    return made;
  }

  // -- cards --

  #drawCard(card) {
    const made = this.#cards.get(card.key) ?? this.#newCard(card);
    const { title, text, notes, noteCount, notice, holders } = made.parts;
    const state = this.#model.pending.stateOf(card.key);
    setText(title, card.title || "Without a title");
    setText(text, card.text);
    text.hidden = card.text === "";
    notes.hidden = card.notes.length === 0;
    setText(noteCount, String(card.notes.length));
    made.dataset.label = card.label;
    made.dataset.state = state;
    this.#drawNotice(notice, card, state);
    this.#drawHolders(made, holders, card);
    return made;
  }

  #newCard({ key }) {
    const title = element("span", "card-title");
    const text = element("span", "card-text");
    const noteCount = element("span", "");
    const notes = element("span", "card-notes", icon("note"), noteCount, element("span", "spoken", " comments"));
    const waiting = element("span", "card-waiting", icon("clock"), element("span", "spoken", "not sent yet"));
    const face = button("card-face", title, text, element("span", "card-foot", notes, waiting));
    face.setAttribute("aria-describedby", "card-hint");
    face.dataset.action = "open";
    const notice = element("div", "card-notice");
    const holders = element("div", "card-holders");
    const made = element("li", "card", face, notice, holders);
    made.dataset.key = key;
    made.parts = { title, text, notes, noteCount, notice, holders };
    this.#cards.set(key, made);
    return made;
  }

  /** What is wrong with a card's change, and what can be done. */
  #drawNotice(notice, { key }, state) {
    const said =
      state === "conflict"
        ? `${this.#hooks.writerOf(key)} changed this too.`
        : state === "failed"
          ? `Not saved: ${this.#model.pending.problemOf(key)}`
          : "";
    if (notice.dataset.said === said) return;
    notice.dataset.said = said;
    notice.replaceChildren();
    if (!said) return;
    notice.append(element("span", "", said));
    const actions = state === "conflict" ? [["compare", "Compare"]] : [["retry", "Try again"], ["discard", "Discard"]];
    for (const [action, name] of actions) {
      const made = button("", name);
      made.dataset.action = action;
      notice.append(made);
    }
  }

  #drawHolders(made, holders, { key }) {
    const held = this.#hooks.holdersOf(key);
    made.classList.toggle("held", held.length > 0);
    if (held.length > 0) made.dataset.tone = toneOf(held[0].user);
    const said = held.map(({ user, editing }) => `${this.#hooks.nameOf(user)}${editing ? "…" : ""}`).join("\n");
    if (holders.dataset.said === said) return;
    holders.dataset.said = said;
    holders.replaceChildren(
      ...held.map(({ user, editing }) => {
        const tag = element("span", "tag", this.#hooks.nameOf(user), editing ? element("span", "spoken", " edits this") : "");
        tag.dataset.tone = toneOf(user);
        if (editing) tag.classList.add("editing");
        return tag;
      }),
    );
  }

  // -- gliding --

  #placesBefore() {
    const places = new Map();
    if (!calm.matches) {
      for (const key of this.#moved) {
        const card = this.#cards.get(key);
        if (card?.isConnected) places.set(key, card.getBoundingClientRect());
      }
    }
    this.#moved.clear();
    return places;
  }

  #glide(from) {
    for (const [key, before] of from) {
      const card = this.#cards.get(key);
      if (!card?.isConnected) continue;
      const after = card.getBoundingClientRect();
      const [x, y] = [before.left - after.left, before.top - after.top];
      if (x !== 0 || y !== 0) card.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], GLIDE);
    }
  }
}

/** A button of a class, with what is on it. */
export function button(className, ...content) {
  const made = element("button", className, ...content);
  made.type = "button";
  return made;
}

/** Makes `children` the children of `parent` with as few moves as will do; those to `spare` are left alone. */
function arrange(parent, children, spare = () => false) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child) && !spare(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    while (next && spare(next)) next = next.nextElementSibling;
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

/** Forgets elements of what is no longer there. */
function keepOnly(elements, items) {
  const keys = new Set(items.map(({ key }) => key));
  for (const key of elements.keys()) if (!keys.has(key)) elements.delete(key);
}

function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
