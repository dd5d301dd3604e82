/**
 * The dialog of one column: its name, its place, its end.
 */

import { say } from "./board-said.js";

const $ = (id) => document.getElementById(id);

export class ColumnDialog {
  #dialog = $("column");
  #model;
  #key = null;
  #seen = null;

  /** @param {{model: () => import("./board-model.js").BoardModel}} hooks */
  constructor({ model }) {
    this.#model = model;
    $("column-edit").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dialog.close();
    });
    $("column-left").addEventListener("click", () => this.#move(-1));
    $("column-right").addEventListener("click", () => this.#move(1));
    $("column-delete").addEventListener("click", () => this.#remove());
    // The event comes later than the close, and another column may have been opened meanwhile.
    this.#dialog.addEventListener("close", () => this.#dialog.open || this.#left());
  }

  open(key) {
    this.#left();
    this.#seen = this.#model().pending.view(key);
    if (!this.#seen) return;
    this.#key = key;
    $("column-title").value = this.#seen.title;
    $("column-note").textContent = "";
    this.#dialog.showModal();
    this.refresh();
  }

  close() {
    this.#dialog.close();
    this.#left();
  }

  /** The board changed. */
  refresh() {
    if (this.#key === null) return;
    const columns = this.#model().columns();
    const at = columns.findIndex(({ key }) => key === this.#key);
    if (at < 0) {
      this.#key = null;
      this.#dialog.close();
      return;
    }
    $("column-left").disabled = at === 0;
    $("column-right").disabled = at === columns.length - 1;
    $("column-delete").disabled = columns[at].cards.length > 0;
    $("column-note").textContent = columns[at].cards.length > 0 ? "A column can be deleted when no cards are in it." : "";
  }

  #move(by) {
    if (!this.#model().moveColumn(this.#key, by)) return;
    const columns = this.#model().columns();
    const at = columns.findIndex(({ key }) => key === this.#key);
    say(`${columns[at].title} is column ${at + 1} of ${columns.length}`);
  }

  #remove() {
    const key = this.#key;
    this.#key = null;
    this.#dialog.close();
    this.#model().removeColumn(key);
  }

  /** Keeps what was done to the column that is no longer shown. */
  #left() {
    const key = this.#key;
    this.#key = null;
    const title = $("column-title").value.trim();
    if (key !== null && title !== "" && title !== this.#seen.title) this.#model().renameColumn(key, title, this.#seen);
  }
}
