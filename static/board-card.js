/**
 * The dialog of one card: its fields, each saved as it is left, its place, and
 * its comments. What others change shows at once, except in a field in which
 * this person has begun to write: there a note tells of it.
 */

import { element, icon, toneOf } from "./chat-log.js";
import { LABELS } from "./board-model.js";
import { button } from "./board-screen.js";

const $ = (id) => document.getElementById(id);

const LABEL_NAMES = { "": "None", teal: "Teal", amber: "Amber", red: "Red", blue: "Blue", plum: "Plum" };
const TEXTS = ["title", "text"];
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export class CardDialog {
  #dialog = $("card");
  #hooks;
  #key = null;
  #seen = {}; // field → the card's value when the writing began
  #drafts = new Map(); // key → a comment begun and not sent

  /**
   * @param {object} hooks
   * @param {() => import("./board-model.js").BoardModel} hooks.model
   * @param {() => import("./board-sync.js").BoardSync} hooks.sync
   * @param {(key: string) => {user: string, editing: boolean}[]} hooks.holdersOf
   * @param {(key: string | null) => void} hooks.onShown this card is being edited; null: none
   * @param {(key: string) => void} hooks.onMoved
   * @param {(action: "compare" | "retry" | "discard" | "delete", key: string) => void} hooks.onAction
   */
  constructor(hooks) {
    this.#hooks = hooks;
    for (const field of TEXTS) {
      const input = this.#input(field);
      input.addEventListener("focus", () => (this.#seen[field] = this.#raw()));
      input.addEventListener("input", () => this.#drawNote(field));
      input.addEventListener("change", () => this.#commit(field));
    }
    $("card-title").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) this.#dialog.close();
    });
    $("card-labels").append(...LABELS.map(labelChoice));
    $("card-labels").addEventListener("change", (event) => this.#model.changeCard(this.#key, "label", event.target.value, this.#raw()));
    $("card-column").addEventListener("change", () => this.#move($("card-column").value, Infinity));
    $("card-position").addEventListener("change", () => this.#move(this.#model.find(this.#key)?.column.id, Number($("card-position").value)));
    $("note-form").addEventListener("submit", (event) => this.#comment(event));
    $("note-text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("note-form").requestSubmit();
    });
    $("card-notes").addEventListener("click", (event) => {
      const { note } = event.target.closest("button")?.dataset ?? {};
      if (note) this.#model.removeComment(this.#key, note);
    });
    for (const action of ["compare", "retry", "discard", "delete"]) {
      $(`card-${action}`).addEventListener("click", () => {
        this.commit();
        hooks.onAction(action, this.#key);
      });
    }
    // The event comes later than the close, and another card may have been opened meanwhile.
    this.#dialog.addEventListener("close", () => this.#dialog.open || this.#left());
  }

  get #model() {
    return this.#hooks.model();
  }

  /** The card shown, or null. */
  get key() {
    return this.#key;
  }

  open(key) {
    if (!this.#model.card(key)) return;
    this.#left();
    this.#key = key;
    this.#seen = {};
    $("note-text").value = this.#drafts.get(key) ?? "";
    this.refresh();
    this.#dialog.showModal();
    this.#dialog.querySelector(".sheet-body").scrollTop = 0;
    this.#hooks.onShown(key);
  }

  close() {
    this.#dialog.close();
    this.#left();
  }

  /** Saves what stands in the fields. */
  commit() {
    if (this.#key !== null) for (const field of TEXTS) this.#commit(field);
  }

  /** The board changed. */
  refresh() {
    if (this.#key === null) return;
    this.#drawAlert();
    const card = this.#model.card(this.#key);
    if (!card) return;
    for (const field of TEXTS) this.#drawText(field, card);
    for (const choice of $("card-labels").querySelectorAll("input")) choice.checked = choice.value === card.label;
    this.#drawPlace();
    this.#drawComments(card.notes);
    $("card-by").textContent = card.by ? `Last changed by ${card.by}` : "";
    this.drawHolders();
  }

  drawHolders() {
    if (this.#key === null) return;
    const names = this.#hooks.holdersOf(this.#key).filter(({ editing }) => editing).map(({ user }) => this.#hooks.sync().nameOf(user));
    const said = names.length > 0 ? `${names.join(", ")} ${names.length === 1 ? "has" : "have"} it open too` : "";
    if ($("card-holders").textContent !== said) $("card-holders").textContent = said;
  }

  #input(field) {
    return $(`card-${field}`);
  }

  #raw() {
    return this.#model.pending.view(this.#key);
  }

  // -- title and description --

  #isBegun(field) {
    const seen = this.#seen[field];
    return Boolean(seen) && this.#input(field).value !== (seen[field] ?? "");
  }

  #drawText(field, card) {
    if (!this.#isBegun(field)) {
      const input = this.#input(field);
      if (input.value !== card[field]) input.value = card[field];
      this.#seen[field] = this.#raw();
    }
    this.#drawNote(field);
  }

  /** Tells of what somebody else wrote into a field in which this person has begun. */
  #drawNote(field) {
    const now = this.#raw()?.[field] ?? "";
    const clashes = this.#isBegun(field) && now !== (this.#seen[field][field] ?? "") && now !== this.#input(field).value;
    const said = clashes ? `${this.#hooks.sync().writerOf(this.#key)} changed this meanwhile: “${now}”` : "";
    const note = $(`card-${field}-note`);
    if (note.textContent !== said) note.textContent = said;
  }

  #commit(field) {
    if (!this.#isBegun(field)) return;
    const seen = this.#seen[field];
    const content = this.#input(field).value;
    this.#seen[field] = { ...seen, [field]: content };
    this.#model.changeCard(this.#key, field, content, seen);
    $(`card-${field}-note`).textContent = "";
  }

  // -- place --

  #drawPlace() {
    const at = this.#model.find(this.#key);
    if (!at) return;
    fill($("card-column"), this.#model.columns().map(({ id, title }) => [id, title]), at.column.id);
    fill($("card-position"), at.column.cards.map((_, index) => [String(index), String(index + 1)]), String(at.index));
  }

  #move(column, index) {
    this.commit();
    if (column !== undefined && this.#model.moveCard(this.#key, column, index)) this.#hooks.onMoved(this.#key);
  }

  // -- comments --

  #drawComments(notes) {
    const list = $("card-notes");
    const said = JSON.stringify(notes);
    if (list.dataset.said === said) return;
    list.dataset.said = said;
    const { user: self } = this.#hooks.sync();
    list.replaceChildren(...notes.map((note) => commentItem(note, note.user === self)));
  }

  #comment(event) {
    event.preventDefault();
    const content = $("note-text").value.trim();
    if (content === "") return;
    $("note-text").value = "";
    this.#drafts.delete(this.#key);
    this.#model.comment(this.#key, content);
  }

  // -- what is wrong --

  #drawAlert() {
    const { pending } = this.#model;
    const state = pending.stateOf(this.#key);
    const exists = pending.view(this.#key) !== null;
    const said =
      state === "conflict"
        ? pending.conflictOf(this.#key).deleted
          ? "This card was deleted meanwhile."
          : `${this.#hooks.sync().writerOf(this.#key)} changed the same meanwhile.`
        : state === "failed"
          ? `Not saved: ${pending.problemOf(this.#key)}`
          : exists
            ? ""
            : "This card was deleted.";
    $("card-alert").hidden = said === "";
    if ($("card-alert-text").textContent !== said) $("card-alert-text").textContent = said;
    $("card-compare").hidden = state !== "conflict";
    $("card-retry").hidden = $("card-discard").hidden = state !== "failed";
  }

  /** Keeps what was done to the card that is no longer shown. */
  #left() {
    if (this.#key === null) return;
    this.commit();
    const draft = $("note-text").value;
    if (draft.trim() !== "") this.#drafts.set(this.#key, draft);
    this.#key = null;
    this.#hooks.onShown(null);
  }
}

function labelChoice(label) {
  const radio = element("input", "spoken");
  Object.assign(radio, { type: "radio", name: "card-label", value: label });
  const swatch = element("span", "swatch");
  swatch.dataset.label = label;
  return element("label", "label-choice", radio, swatch, element("span", "spoken", LABEL_NAMES[label]));
}

function commentItem({ id, at, user, name, text }, own) {
  const who = element("span", "note-who", own ? "You" : String(name ?? "Somebody"));
  who.dataset.tone = toneOf(user);
  const when = element("time", "", Number.isFinite(at) ? moment.format(at) : "");
  const head = element("p", "note-head", who, when);
  if (own) {
    const drop = button("icon-button", icon("close"));
    drop.dataset.note = id;
    drop.setAttribute("aria-label", "Delete this comment");
    head.append(drop);
  }
  return element("li", "note-item", head, element("p", "note-body", String(text ?? "")));
}

/** Makes these the options of a select, and one of them chosen. */
function fill(select, options, chosen) {
  const said = JSON.stringify(options);
  if (select.dataset.said !== said) {
    select.dataset.said = said;
    select.replaceChildren(...options.map(([value, name]) => new Option(name, value)));
  }
  select.value = chosen;
}
