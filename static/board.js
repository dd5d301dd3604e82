/**
 * The board page: what every control does. What a board is stands in
 * board-model.js, how it is kept in step with the others in board-sync.js, and
 * what is shown of it in board-screen.js and its neighbours.
 */

import { forgetAll } from "./chat-identity.js";
import { element } from "./chat-log.js";
import { ConnectionView } from "./connection-view.js";
import { Entry } from "./entry.js";
import { CardDialog } from "./board-card.js";
import { ConflictDialog } from "./board-conflict.js";
import { Cursors, OwnCursor } from "./board-cursors.js";
import { Drag } from "./board-drag.js";
import { listenToKeys } from "./board-keys.js";
import { BoardModel, isCard } from "./board-model.js";
import { Holders, drawPeople } from "./board-people.js";
import { say, sayOfOthers, toast } from "./board-said.js";
import { BoardScreen } from "./board-screen.js";
import { BoardStore, visit } from "./board-store.js";
import { BoardSync } from "./board-sync.js";
import { ColumnDialog } from "./board-column.js";

const DEFAULT_BOARD = "main";
const BOARD_NAME = /^[A-Za-z0-9_\-.:/]{1,100}$/;
/** Newcomers are told what is in hand here; not by everybody in the same moment. */
const RETELL_MS = 300;

const $ = (id) => document.getElementById(id);

let model = new BoardModel(() => ({ user: sync.user, name: sync.nameOf(sync.user) }));
let sync = null;

const connection = new ConnectionView("What you change is kept and sent later.");
const holders = new Holders();
const hooks = {
  model: () => model,
  sync: () => sync,
  nameOf: (user) => sync.nameOf(user),
  writerOf: (key) => sync.writerOf(key),
  holdersOf: (key) => holders.of(key),
};
const screen = new BoardScreen({ ...hooks, onDrawn: drawn });
const cursors = new Cursors($("cursors"), $("board"), {
  elementOf: (key) => screen.cardElement(key) ?? screen.columnElement(key),
  nameOf: hooks.nameOf,
});
const cardDialog = new CardDialog({ ...hooks, onShown: tellSelection, onMoved: sayPlace, onAction: actOnCard });
const columnDialog = new ColumnDialog(hooks);
const conflictDialog = new ConflictDialog({ ...hooks, onDecided: changed });
const ownCursor = new OwnCursor($("board"), (at) => sync?.signal("cursor", at));
const drag = new Drag($("board"), { onStart: tellSelection, onEnd: dropped });
const entry = new Entry({ place: () => board, onEnter: start });

// --- the way in and out ------------------------------------------------------

const board = wantedBoard();

function wantedBoard() {
  const asked = new URLSearchParams(location.search).get("board") ?? "";
  return BOARD_NAME.test(asked) ? asked : DEFAULT_BOARD;
}

async function start(identity) {
  $("title").textContent = board;
  document.title = `${board} · Rookery`;
  drawVisited(visit(board));
  const store = await BoardStore.open(board);
  sync = new BoardSync({ identity, board, model, store }, {
    onBoard: boardChanged,
    onPending: drawPending,
    onConnection: connectionChanged,
    onPresence: presenceChanged,
    onSignal: signalled,
    onProblem: drawProblem,
    onLeave: leave,
  });
  connection.attach(sync);
  model.onChange = changed;
  screen.attach(model);
  await sync.start();
}

function leave(problem) {
  closeAll();
  sync.end();
  sync = null;
  connection.attach(null);
  screen.attach(null);
  cursors.clear();
  holders.clear();
  model = new BoardModel(() => ({ user: sync.user, name: sync.nameOf(sync.user) }));
  forgetAll();
  entry.ask(problem);
}

function closeAll() {
  drag.cancel();
  cardDialog.close();
  columnDialog.close();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const pop of document.querySelectorAll("[popover]:popover-open")) pop.hidePopover();
}

$("sign-out").addEventListener("click", () => leave());
window.addEventListener("pagehide", () => {
  cardDialog.commit();
  if (!sync) return;
  sync.signal("select", null);
  sync.keep();
});
window.addEventListener("pageshow", (event) => event.persisted && sync && tellSelection());

// --- what changed ------------------------------------------------------------

/** This person did something. */
function changed() {
  sync.push();
  screen.drawSoon();
}

/** The server said something: of these keys, or of everything. */
function boardChanged(keys, by) {
  screen.drawWithNextFrame(by === null ? [] : keys.filter(isCard));
  if (by === null) return;
  for (const key of keys) {
    const value = model.pending.view(key);
    sayOfOthers(by, value ? value.title : "a card, which is gone");
  }
}

function drawn() {
  const columns = $("columns").childElementCount;
  $("board-empty").hidden = columns > 0;
  $("board-empty").textContent = sync.isKnown ? "No columns yet: add the first one." : "Opening the board…";
  $("column-form").hidden = !sync.isKnown;
  $("undo").disabled = !model.undoing.canUndo;
  $("redo").disabled = !model.undoing.canRedo;
  drawPending();
  cardDialog.refresh();
  columnDialog.refresh();
  conflictDialog.refresh();
  cursors.placeSoon();
}

function drawPending() {
  const { pending } = model;
  const waiting = sync.isLive ? 0 : pending.size;
  $("pending").hidden = waiting === 0;
  $("pending").textContent = waiting === 0 ? "" : waiting === 1 ? "1 change not sent yet" : `${waiting} changes not sent yet`;
  $("app").classList.toggle("offline", !sync.isLive);

  const disputed = pending.keys.filter((key) => pending.stateOf(key) === "conflict");
  $("disputes").hidden = disputed.length === 0;
  if (disputed.length === 0) return;
  const said =
    disputed.length === 1
      ? `“${nameOfKey(disputed[0])}” was changed by ${sync.writerOf(disputed[0])} too. Your change waits until you choose.`
      : `${disputed.length} things were changed by others too. Your changes wait until you choose.`;
  if ($("disputes-text").textContent !== said) $("disputes-text").textContent = said;
  $("disputes-open").dataset.key = disputed[0];
}

function nameOfKey(key) {
  return (model.pending.view(key) ?? model.pending.theirs(key))?.title ?? "";
}

function drawProblem(text) {
  $("problem").hidden = text === "";
  $("problem-text").textContent = text;
}

$("problem-close").addEventListener("click", () => drawProblem(""));
$("disputes-open").addEventListener("click", () => conflictDialog.open($("disputes-open").dataset.key));
$("banner-action").addEventListener("click", () => sync.hurry());

function connectionChanged(change) {
  connection.draw(change);
  if (change.state !== "connected") {
    cursors.clear();
    holders.clear();
    screen.drawWithNextFrame();
  }
  drawPending();
}

// --- people ------------------------------------------------------------------

function presenceChanged({ joined, left, snapshot }) {
  for (const user of left) {
    cursors.remove(user);
    holders.remove(user);
  }
  drawPeople(sync);
  screen.drawWithNextFrame();
  if (joined.some(({ user }) => user !== sync.user)) setTimeout(() => sync && tellSelection(), snapshot ? 0 : Math.random() * RETELL_MS);
}

function signalled({ user, event, data }) {
  if (event === "cursor") cursors.show(user, data);
  if (event !== "select") return;
  holders.tell(user, data);
  screen.drawWithNextFrame();
  cardDialog.drawHolders();
}

/** Tells the others which card is in hand here. */
function tellSelection() {
  const focused = document.activeElement?.closest?.(".card")?.dataset.key ?? null;
  const card = cardDialog.key ?? drag.key ?? focused;
  sync.signal("select", card && { card, editing: cardDialog.key !== null });
}

$("board").addEventListener("focusin", () => sync && tellSelection());
$("board").addEventListener("focusout", (event) => {
  if (sync && !$("board").contains(event.relatedTarget)) queueMicrotask(() => sync && tellSelection());
});

// --- cards -------------------------------------------------------------------

function actOnCard(action, key) {
  switch (action) {
    case "open":
      return cardDialog.open(key);
    case "compare":
      return conflictDialog.open(key);
    case "retry":
      model.pending.retry(key);
      return changed();
    case "discard":
      model.pending.discard(key);
      return changed();
    case "delete":
      return removeCard(key);
  }
}

function removeCard(key) {
  const card = model.card(key);
  const at = model.find(key);
  cardDialog.close();
  if (!card || !at) return;
  model.removeCard(key);
  toast(`“${card.title}” is deleted. Undo brings it back.`);
  const { cards } = model.column(at.column.id);
  const next = cards[Math.min(at.index, cards.length - 1)];
  queueMicrotask(() => next ? screen.focusCard(next.key) : screen.columnElement(at.column.key)?.parts.input.focus());
}

function dropped(key, drop) {
  const title = model.card(key)?.title ?? "";
  if (drop === null) say(`“${title}” stays where it was`);
  else if (model.moveCard(key, drop.column, drop.index)) sayPlace(key);
  queueMicrotask(() => screen.focusCard(key));
}

/** Where a card is now. */
function sayPlace(key) {
  const at = model.find(key);
  if (at) say(`“${at.column.cards[at.index].title}” is in ${at.column.title}, ${at.index + 1} of ${at.column.cards.length}`);
}

$("columns").addEventListener("click", (event) => {
  const { action } = event.target.closest("[data-action]")?.dataset ?? {};
  const { key } = event.target.closest("[data-key]")?.dataset ?? {};
  if (action === "column") columnDialog.open(key);
  else if (action) actOnCard(action, key);
});

$("columns").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const input = form.querySelector("input");
  const title = input.value.trim();
  if (title === "") return input.focus();
  input.value = "";
  const key = model.addCard(form.dataset.column, title);
  say(`“${title}” is added`);
  queueMicrotask(() => screen.cardElement(key)?.scrollIntoView({ block: "nearest" }));
});

$("column-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const title = $("column-new").value.trim();
  if (title === "") return $("column-new").focus();
  $("column-new").value = "";
  const key = model.addColumn(title);
  queueMicrotask(() => {
    screen.columnElement(key)?.scrollIntoView({ inline: "nearest", block: "nearest" });
    screen.columnElement(key)?.parts.input.focus();
  });
});

// --- undo --------------------------------------------------------------------

function turn(outcome, verb) {
  if (!outcome) return toast(`Nothing to ${verb}.`);
  const done = verb === "undo" ? "Undone" : "Done again";
  if (!outcome.kept) toast(`${done}: ${outcome.name}.`);
  else if (outcome.done) toast(`${done}: ${outcome.name}, except what others changed since.`);
  else toast(`Others changed it since, so it stays: ${outcome.name}.`);
}

const undo = () => turn(model.undo(), "undo");
const redo = () => turn(model.redo(), "redo");
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);

listenToKeys($("columns"), {
  model: () => model,
  isBusy: () => !sync || drag.key !== null || document.querySelector("dialog[open]") !== null,
  focusCard: (key) => screen.focusCard(key),
  newCard: (column) => screen.columnElement(column.key)?.parts.input.focus(),
  removeCard,
  sayPlace,
  undo,
  redo,
});

// --- boards ------------------------------------------------------------------

function drawVisited(visited) {
  $("visited").replaceChildren(
    ...visited.map((name) => {
      const link = element("a", "", name);
      link.href = `?board=${encodeURIComponent(name)}`;
      if (name === board) link.setAttribute("aria-current", "page");
      return element("li", "", link);
    }),
  );
}

$("board-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("board-name").value.trim();
  if (BOARD_NAME.test(name)) {
    location.search = `?board=${encodeURIComponent(name)}`;
    return;
  }
  $("board-error").textContent = name === "" ? "Type the name of a board." : "A board's name is made of letters, digits and _ - . : /";
  $("board-name").focus();
});

for (const closer of document.querySelectorAll("[data-close]")) {
  closer.addEventListener("click", () => closer.closest("dialog").close());
}
// A click beside a dialog closes it.
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
}

// Only where the page came over TLS or from this machine; elsewhere it needs the network to open.
navigator.serviceWorker?.register("board-worker.js", { scope: "board.html" }).catch(() => {});

entry.begin();
