/**
 * A board: columns with cards, each one key of a room's shared state, and what
 * may be done with them. It knows neither network nor elements.
 *
 *     column/ID   {title, place, by}
 *     card/ID     {title, text, label, place: [column, place], notes: [{id, at, user, name, text}], by}
 *
 * The comments of a card are in the card: a board has room for as many cards as
 * a room has for keys, and whoever brings a card back brings back its comments.
 */

import { createNonce } from "./rookery.js";
import { sameValue } from "./board-merge.js";
import { placeAt } from "./board-order.js";
import { Pending } from "./board-pending.js";
import { UndoStack } from "./board-undo.js";

const COLUMN = "column/";
const CARD = "card/";
const ID_LENGTH = 12;
/** Longer texts are cut: a card has to fit into a message with its comments. */
export const MAX_TITLE = 200;
export const MAX_TEXT = 8_000;
export const MAX_NOTE = 2_000;
/** What a card may be marked with; "" for nothing. */
export const LABELS = ["", "teal", "amber", "red", "blue", "plum"];

/** A board that nobody wrote on yet begins with these; the ids are the same for all, so that none comes twice. */
export const FIRST_COLUMNS = [
  [`${COLUMN}todo`, { title: "To do", place: "F" }],
  [`${COLUMN}doing`, { title: "Doing", place: "V" }],
  [`${COLUMN}done`, { title: "Done", place: "k" }],
];

export const isCard = (key) => key.startsWith(CARD);
export const isColumn = (key) => key.startsWith(COLUMN);

export class BoardModel {
  pending = new Pending();
  undoing = new UndoStack(this.pending, (value) => this.#sign(value));
  /** Called after every own action. */
  onChange = () => {};
  #me;

  /** @param {() => {user: string, name: string}} me who acts here */
  constructor(me) {
    this.#me = me;
  }

  // -- what there is --

  /** The columns in order, each with its cards in order. */
  columns() {
    const columns = [];
    const cards = [];
    for (const [key, value] of this.pending.entries()) {
      if (isColumn(key)) columns.push({ key, id: key.slice(COLUMN.length), title: text(value.title), place: text(value.place), cards: [] });
      else if (isCard(key)) cards.push(cardFrom(key, value));
    }
    columns.sort(inOrder);
    const byId = new Map(columns.map((column) => [column.id, column]));
    // A card whose column was deleted meanwhile is not lost: it stands in the first one.
    for (const card of cards.sort(inOrder)) (byId.get(card.column) ?? columns[0])?.cards.push(card);
    return columns;
  }

  /** A card as it is seen here, or null. */
  card(key) {
    const value = this.pending.view(key);
    return value && cardFrom(key, value);
  }

  /** A column with its cards, or undefined. */
  column(id) {
    return this.columns().find((column) => column.id === id);
  }

  /** Where a card stands: `{column, index}`, or null. */
  find(key) {
    for (const column of this.columns()) {
      const index = column.cards.findIndex((card) => card.key === key);
      if (index >= 0) return { column, index };
    }
    return null;
  }

  // -- cards --

  /** Adds a card at the end of a column; its key. */
  addCard(column, title) {
    const key = `${CARD}${newId()}`;
    const places = this.column(column)?.cards.map(({ place }) => place) ?? [];
    const value = { title: title.slice(0, MAX_TITLE), text: "", label: "", place: [column, placeAt(places, places.length)], notes: [] };
    this.#act(`the card “${value.title}”`, key, value);
    return key;
  }

  /**
   * Moves a card before the one at `index` of a column (counted without the
   * card itself). False where that is where it stands.
   */
  moveCard(key, column, index) {
    const value = this.pending.view(key);
    const at = this.find(key);
    const target = this.column(column);
    if (!value || !at || !target || (at.column.id === column && at.index === index)) return false;
    const others = target.cards.filter((card) => card.key !== key);
    const place = [column, placeAt(others.map((card) => card.place), Math.min(index, others.length))];
    this.#act(`the move of “${value.title}”`, key, { ...value, place });
    return true;
  }

  /** Changes `title`, `text` or `label`, from how it looked (`seen`) when the person began. */
  changeCard(key, field, content, seen) {
    const current = this.pending.view(key);
    if (!current && !seen) return;
    const from = { ...(current ?? seen), [field]: seen?.[field] };
    this.#act(`the change of “${text((current ?? seen).title)}”`, key, { ...from, [field]: content }, from);
  }

  removeCard(key) {
    const value = this.pending.view(key);
    if (value) this.#act(`the deletion of “${value.title}”`, key, null);
  }

  comment(key, content) {
    const value = this.pending.view(key);
    if (!value) return;
    const note = { id: newId(), at: Date.now(), ...this.#me(), text: content.slice(0, MAX_NOTE) };
    this.#act(`the comment on “${value.title}”`, key, { ...value, notes: [...(value.notes ?? []), note] });
  }

  removeComment(key, id) {
    const value = this.pending.view(key);
    if (!value) return;
    const notes = (value.notes ?? []).filter((note) => note.id !== id);
    this.#act(`the deletion of a comment on “${value.title}”`, key, { ...value, notes });
  }

  // -- columns --

  addColumn(title) {
    const key = `${COLUMN}${newId()}`;
    const places = this.columns().map(({ place }) => place);
    this.#act(`the column “${title}”`, key, { title: title.slice(0, MAX_TITLE), place: placeAt(places, places.length) });
    return key;
  }

  renameColumn(key, title, seen) {
    const value = this.pending.view(key) ?? seen;
    const from = { ...value, title: seen.title };
    this.#act(`the name of “${seen.title}”`, key, { ...from, title: title.slice(0, MAX_TITLE) }, from);
  }

  /** Moves a column by so many to the right. False where there is no room. */
  moveColumn(key, by) {
    const columns = this.columns();
    const index = columns.findIndex((column) => column.key === key);
    const value = this.pending.view(key);
    if (!value || index + by < 0 || index + by >= columns.length) return false;
    const places = columns.filter((column) => column.key !== key).map(({ place }) => place);
    this.#act(`the move of “${value.title}”`, key, { ...value, place: placeAt(places, index + by) });
    return true;
  }

  /** Deletes a column; false where cards are in it. */
  removeColumn(key) {
    const column = this.columns().find((each) => each.key === key);
    if (!column || column.cards.length > 0) return false;
    this.#act(`the deletion of “${column.title}”`, key, null);
    return true;
  }

  // -- undo --

  undo() {
    return this.#turned(this.undoing.undo());
  }

  redo() {
    return this.#turned(this.undoing.redo());
  }

  #turned(outcome) {
    if (outcome) this.onChange();
    return outcome;
  }

  /** One action of this person on one key. */
  #act(name, key, value, seen = this.pending.view(key)) {
    const signed = this.#sign(value);
    if (sameValue(signed, seen)) return;
    this.pending.put(key, signed, seen);
    this.undoing.did(name, [{ key, before: seen, after: signed }]);
    this.onChange();
  }

  #sign(value) {
    return value && { ...value, by: this.#me().name };
  }
}

/** A card with all its fields, whatever its writer left out. */
function cardFrom(key, value) {
  const [column, place] = Array.isArray(value.place) ? value.place : [];
  return {
    key,
    id: key.slice(CARD.length),
    title: text(value.title),
    text: text(value.text),
    label: LABELS.includes(value.label) ? value.label : "",
    column: text(column),
    place: text(place),
    notes: Array.isArray(value.notes) ? value.notes.filter((note) => note && typeof note.id === "string") : [],
    by: text(value.by),
  };
}

const text = (value) => (typeof value === "string" ? value : "");
const newId = () => createNonce().slice(0, ID_LENGTH);
const inOrder = (one, other) => compare(one.place, other.place) || compare(one.id, other.id);
const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
