/**
 * The dialog that shows two versions of a card and asks which shall stay, field
 * by field. Fields that only one side changed are merged without a question.
 */

import { element } from "./chat-log.js";
import { changedFields } from "./board-merge.js";
import { isColumn } from "./board-model.js";

const $ = (id) => document.getElementById(id);

const NAMES = { title: "Title", text: "Description", label: "Mark", place: "Column", notes: "Comments" };

export class ConflictDialog {
  #dialog = $("conflict");
  #hooks;
  #key = null;
  #shown = null;

  /**
   * @param {object} hooks
   * @param {() => import("./board-model.js").BoardModel} hooks.model
   * @param {(key: string) => string} hooks.writerOf
   * @param {() => void} hooks.onDecided
   */
  constructor(hooks) {
    this.#hooks = hooks;
    $("conflict-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#decide();
    });
  }

  /** Shows the conflict of a key, if it has one. */
  open(key) {
    this.#shown = this.#hooks.model().pending.conflictOf(key);
    if (!this.#shown) return;
    this.#key = key;
    this.#draw();
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** The board changed: what is shown may be settled, or another version. */
  refresh() {
    if (!this.#dialog.open) return;
    const now = this.#hooks.model().pending.conflictOf(this.#key);
    if (!now) this.#dialog.close();
    else if (JSON.stringify(now.theirs) !== JSON.stringify(this.#shown.theirs)) this.open(this.#key);
  }

  #draw() {
    const { deleted, fields, base, mine, theirs } = this.#shown;
    const writer = this.#hooks.writerOf(this.#key);
    const title = (mine ?? theirs ?? base).title;
    const kind = isColumn(this.#key) ? "column" : "card";
    if (deleted) {
      const kept = mine ?? theirs;
      $("conflict-lead").textContent =
        deleted === "there"
          ? `You changed the ${kind} “${title}”; meanwhile it was deleted.`
          : `You deleted the ${kind} “${title}”; ${writer} changed it meanwhile.`;
      const changed = changedFields(base, kept).map((field) => [NAMES[field] ?? field, this.#spoken(field, kept[field])]);
      const keep = option("keep", "keep", deleted === "there" ? "Keep it, with your changes" : `Keep it, with the changes of ${writer}`, changed, true);
      $("conflict-fields").replaceChildren(fieldset("keep", "What shall be?", keep, option("keep", "delete", "Delete it", [], false)));
      $("conflict-merged").hidden = true;
      return;
    }
    $("conflict-lead").textContent = `You and ${writer} changed “${title}” at the same time. Choose what stays.`;
    $("conflict-fields").replaceChildren(
      ...fields.map((field) => {
        const options = [
          option(field, "mine", "Yours", [["", this.#spoken(field, mine[field])]], true),
          option(field, "theirs", writer, [["", this.#spoken(field, theirs[field])]], false),
        ];
        if (field === "text") options.push(option(field, "both", "Both, one after the other", [], false));
        return fieldset(field, NAMES[field] ?? field, ...options);
      }),
    );
    const merged = changedFields(base, mine).filter((field) => !fields.includes(field)).map((field) => NAMES[field] ?? field);
    $("conflict-merged").hidden = merged.length === 0;
    $("conflict-merged").textContent = `Changed by one side only, and kept as it is: ${merged.join(", ")}.`;
  }

  /** A field's value for people. */
  #spoken(field, value) {
    if (field === "place") return this.#hooks.model().column(Array.isArray(value) ? value[0] : "")?.title ?? "a column that is gone";
    if (field === "notes") return `${value?.length ?? 0}`;
    return typeof value === "string" && value !== "" ? value : "(nothing)";
  }

  #decide() {
    const { deleted, fields, mine, theirs } = this.#shown;
    const chosen = new FormData($("conflict-form"));
    let choice;
    if (deleted) {
      choice = chosen.get("keep") === "keep" ? (mine ?? theirs) : null;
    } else {
      const pick = { mine: (field) => mine[field], theirs: (field) => theirs[field], both: (field) => `${theirs[field]}\n\n${mine[field]}` };
      choice = Object.fromEntries(fields.map((field) => [field, pick[chosen.get(field)](field)]));
    }
    this.#hooks.model().pending.resolve(this.#key, this.#shown, choice);
    this.#dialog.close();
    this.#hooks.onDecided();
  }
}

function fieldset(name, legend, ...options) {
  const made = element("fieldset", "versions", element("legend", "", legend), ...options);
  made.dataset.field = name;
  return made;
}

/** One of the versions: a radio button, whose it is, and what it says. */
function option(name, value, title, lines, checked) {
  const radio = element("input", "");
  Object.assign(radio, { type: "radio", name, value, checked });
  const said = lines.map(([label, text]) => element("span", "version-text", label ? element("strong", "", `${label}: `) : "", text));
  return element("label", "version", radio, element("span", "version-body", element("span", "version-title", title), ...said));
}
