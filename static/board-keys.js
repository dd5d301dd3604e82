/**
 * The board by keyboard: arrows go from card to card, with Shift they move the
 * card. The help on the page lists what is here.
 */

const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/**
 * @param {HTMLElement} columns the element with the columns
 * @param {object} hooks
 * @param {() => import("./board-model.js").BoardModel} hooks.model
 * @param {() => boolean} hooks.isBusy keys have another meaning now
 * @param {(key: string) => void} hooks.focusCard
 * @param {(column: object) => void} hooks.newCard
 * @param {(key: string) => void} hooks.removeCard
 * @param {(key: string) => void} hooks.sayPlace
 * @param {() => void} hooks.undo
 * @param {() => void} hooks.redo
 */
export function listenToKeys(columns, hooks) {
  columns.addEventListener("keydown", (event) => {
    if (hooks.isBusy() || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.target.matches(".card-face") ? event.target.closest(".card").dataset.key : null;
    if (key === null) return;
    const arrow = ARROWS[event.key];
    if (arrow) {
      event.preventDefault();
      if (event.shiftKey) move(hooks, key, arrow);
      else go(hooks, key, arrow);
    } else if (event.key === "Delete") {
      hooks.removeCard(key);
    } else if (event.key === "n" || event.key === "N") {
      event.preventDefault();
      hooks.newCard(hooks.model().find(key).column);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (hooks.isBusy() || !(event.ctrlKey || event.metaKey) || event.target.closest("input, textarea, select")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) hooks.redo();
    else hooks.undo();
  });
}

function go({ model, focusCard }, key, [across, down]) {
  const { column, index } = model().find(key);
  if (down !== 0) {
    const next = column.cards[index + down];
    if (next) focusCard(next.key);
    return;
  }
  const columns = model().columns();
  const at = columns.findIndex(({ id }) => id === column.id);
  const candidates = across > 0 ? columns.slice(at + 1) : columns.slice(0, at).reverse();
  const next = candidates.find(({ cards }) => cards.length > 0);
  if (next) focusCard(next.cards[Math.min(index, next.cards.length - 1)].key);
}

function move({ model, focusCard, sayPlace }, key, [across, down]) {
  const { column, index } = model().find(key);
  const columns = model().columns();
  const target = columns[columns.findIndex(({ id }) => id === column.id) + across];
  if (!target || index + down < 0 || (down !== 0 && index + down >= column.cards.length)) return;
  if (!model().moveCard(key, target.id, across === 0 ? index + down : Math.min(index, target.cards.length))) return;
  sayPlace(key);
  queueMicrotask(() => focusCard(key));
}
