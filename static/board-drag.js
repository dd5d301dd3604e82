/**
 * Dragging a card by pointer: at once with a mouse or a pen, after a moment's
 * hold by touch (a quicker finger scrolls). A copy follows the pointer, a gap
 * shows where the card would go; Escape lets go of it.
 */

/** So far a mouse moves before it is a drag and no click. */
const START_PX = 5;
/** So long a finger holds still. */
const HOLD_MS = 280;
const HOLD_SLACK_PX = 10;
/** This close to an edge the board or the column scrolls, by up to so much a frame. */
const EDGE_PX = 48;
const SCROLL_PX = 14;

export class Drag {
  #board;
  #hooks;
  #press = null; // a pointer that is down and may become a drag
  #drag = null;
  #wasDragged = false; // what the last press became

  /**
   * @param {HTMLElement} board what scrolls sideways and holds the columns
   * @param {object} hooks
   * @param {(key: string) => void} hooks.onStart
   * @param {(key: string, drop: {column: string, index: number} | null) => void} hooks.onEnd null: let go
   */
  constructor(board, hooks) {
    this.#board = board;
    this.#hooks = hooks;
    board.addEventListener("pointerdown", (event) => this.#down(event));
    document.addEventListener("pointermove", (event) => this.#move(event));
    document.addEventListener("pointerup", (event) => this.#up(event));
    document.addEventListener("pointercancel", () => this.cancel());
    window.addEventListener("blur", () => this.cancel());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#drag) return;
      event.stopImmediatePropagation();
      this.cancel();
    }, { capture: true });
    // A drag by touch must not scroll, and that can only be said to the first move.
    document.addEventListener("touchmove", (event) => this.#drag && event.cancelable && event.preventDefault(), { passive: false });
    document.addEventListener("contextmenu", (event) => this.#drag && event.preventDefault());
    // The click that ends a drag opens nothing, whenever it comes; one by key is no end of a drag.
    board.addEventListener("click", (event) => {
      if (!this.#wasDragged || event.detail === 0) return;
      event.preventDefault();
      event.stopPropagation();
    }, { capture: true });
    board.addEventListener("dragstart", (event) => event.preventDefault());
  }

  /** The key of the card in hand, or null. */
  get key() {
    return this.#drag?.key ?? null;
  }

  /** Lets go of the card. */
  cancel() {
    this.#release();
    if (this.#drag) this.#end(null);
  }

  #down(event) {
    this.#wasDragged = false;
    const card = event.target.closest?.(".card");
    if (!card || event.button !== 0 || !event.isPrimary || event.target.closest(".card-notice")) return;
    this.cancel();
    const { clientX: x, clientY: y } = event;
    // The card that was pressed gets the click, even where it moves from under the pointer meanwhile.
    event.target.closest(".card-face")?.setPointerCapture(event.pointerId);
    this.#press = { card, x, y, pointer: event.pointerId, touch: event.pointerType === "touch" };
    if (this.#press.touch) this.#press.timer = setTimeout(() => this.#start(x, y), HOLD_MS);
  }

  #release() {
    clearTimeout(this.#press?.timer);
    this.#press = null;
  }

  #move(event) {
    const press = this.#press;
    if (press && event.pointerId === press.pointer) {
      const distance = Math.hypot(event.clientX - press.x, event.clientY - press.y);
      if (press.touch) {
        if (distance > HOLD_SLACK_PX) this.#release(); // it scrolls
      } else if (distance > START_PX) {
        this.#start(event.clientX, event.clientY);
      }
    }
    const drag = this.#drag;
    if (!drag || event.pointerId !== drag.pointer) return;
    drag.at = { x: event.clientX, y: event.clientY };
    this.#follow();
  }

  #up(event) {
    this.#release();
    const drag = this.#drag;
    if (!drag || event.pointerId !== drag.pointer) return;
    this.#follow();
    this.#end(dropOf(drag));
  }

  #start(x, y) {
    const { card, pointer, x: pressedX, y: pressedY } = this.#press;
    this.#release();
    if (!card.isConnected) return;
    this.#wasDragged = true;
    const box = card.getBoundingClientRect();
    const ghost = card.cloneNode(true);
    ghost.classList.add("ghost");
    ghost.removeAttribute("data-key");
    ghost.setAttribute("aria-hidden", "true");
    ghost.inert = true;
    ghost.style.width = `${box.width}px`;
    const gap = document.createElement("li");
    gap.className = "gap";
    gap.setAttribute("aria-hidden", "true");
    gap.style.height = `${box.height}px`;
    card.before(gap);
    card.classList.add("dragged");
    this.#board.append(ghost);
    this.#board.classList.add("dragging");
    this.#drag = {
      key: card.dataset.key, card, ghost, gap, pointer, at: { x, y },
      grip: { x: pressedX - box.left, y: pressedY - box.top },
    };
    this.#drag.frame = requestAnimationFrame(() => this.#scroll());
    this.#hooks.onStart(this.#drag.key);
    this.#follow();
  }

  /** The copy goes to the pointer, the gap to where the card would go. */
  #follow() {
    const { ghost, gap, card, at, grip } = this.#drag;
    // Somebody deleted it meanwhile.
    if (!card.isConnected) return this.cancel();
    ghost.style.transform = `translate(${at.x - grip.x}px, ${at.y - grip.y}px)`;
    const list = nearestList(this.#board, at.x);
    if (!list) return;
    const middle = at.y - grip.y + ghost.offsetHeight / 2;
    const after = [...list.querySelectorAll(".card:not(.dragged)")].find((other) => {
      const box = other.getBoundingClientRect();
      return middle < box.top + box.height / 2;
    });
    if (gap.parentElement !== list || gap.nextElementSibling !== (after ?? null)) list.insertBefore(gap, after ?? null);
  }

  #scroll() {
    const drag = this.#drag;
    if (!drag) return;
    const board = this.#board.getBoundingClientRect();
    const sideways = push(drag.at.x, board.left, board.right);
    const list = drag.gap.parentElement;
    const box = list?.getBoundingClientRect();
    const down = box ? push(drag.at.y, box.top, box.bottom) : 0;
    this.#board.scrollLeft += sideways;
    if (list) list.scrollTop += down;
    if (sideways !== 0 || down !== 0) this.#follow();
    if (this.#drag) drag.frame = requestAnimationFrame(() => this.#scroll());
  }

  #end(drop) {
    const { key, card, ghost, gap, frame } = this.#drag;
    this.#drag = null;
    cancelAnimationFrame(frame);
    ghost.remove();
    gap.remove();
    card.classList.remove("dragged");
    this.#board.classList.remove("dragging");
    this.#hooks.onEnd(key, card.isConnected ? drop : null);
  }
}

/** Where the gap is: the column and how many cards are before it, the dragged one not counted. */
function dropOf({ gap }) {
  const list = gap.parentElement;
  if (!list) return null;
  const before = [...list.children].filter((child) => child === gap || (child.matches(".card") && !child.classList.contains("dragged")));
  return { column: list.dataset.column, index: before.indexOf(gap) };
}

/** The list of the column at this x, or of the one closest to it. */
function nearestList(board, x) {
  let nearest = null;
  let least = Infinity;
  for (const column of board.querySelectorAll(".column")) {
    const box = column.getBoundingClientRect();
    const distance = Math.max(box.left - x, x - box.right, 0);
    if (distance < least) [nearest, least] = [column, distance];
  }
  return nearest?.querySelector(".cards") ?? null;
}

/** How far to scroll for a pointer this close to one of two edges. */
function push(at, low, high) {
  if (at < low + EDGE_PX) return -SCROLL_PX * Math.min(1, (low + EDGE_PX - at) / EDGE_PX);
  if (at > high - EDGE_PX) return SCROLL_PX * Math.min(1, (at - high + EDGE_PX) / EDGE_PX);
  return 0;
}
