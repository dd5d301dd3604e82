/** A bounded list of what comes, the newest first, still while somebody reads further down. */

export class Feed {
  #list;
  #scroller;
  #newer;
  #make;
  #kept;
  #waiting = [];

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.list
   * @param {HTMLElement} parts.scroller
   * @param {HTMLButtonElement} parts.newer brings to the newest
   * @param {(entry: object) => HTMLElement} parts.make
   * @param {number} parts.kept so many are shown at most
   */
  constructor({ list, scroller, newer, make, kept }) {
    [this.#list, this.#scroller, this.#newer, this.#make, this.#kept] = [list, scroller, newer, make, kept];
    scroller.addEventListener("scroll", () => this.#isAtTop && this.#flush(), { passive: true });
    newer.addEventListener("click", () => {
      scroller.scrollTop = 0;
      this.#flush();
      scroller.focus();
    });
  }

  get #isAtTop() {
    return this.#scroller.scrollTop < 8;
  }

  get isEmpty() {
    return this.#list.childElementCount === 0 && this.#waiting.length === 0;
  }

  clear() {
    this.#waiting = [];
    this.#list.replaceChildren();
    this.#flush();
  }

  /** Entries came, the oldest first. */
  add(...entries) {
    this.#waiting.push(...entries);
    this.#waiting.splice(0, Math.max(0, this.#waiting.length - this.#kept));
    this.#flush();
  }

  #flush() {
    if (this.#isAtTop) {
      this.#list.prepend(...this.#waiting.map(this.#make).reverse());
      this.#waiting = [];
      while (this.#list.childElementCount > this.#kept) this.#list.lastElementChild.remove();
    }
    this.#newer.hidden = this.#waiting.length === 0;
    this.#newer.textContent = `${this.#waiting.length} newer`;
  }
}
