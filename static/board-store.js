/**
 * What a board keeps in this browser: changes that are not on the server yet,
 * and how the board looked last, for a page opened while there is no connection.
 *
 * Changes belong to a tab. A tab holds a lock as long as it lives; changes whose
 * tab is gone are taken up by the next one that opens the same board.
 */

import { recall, remember } from "./chat-identity.js";
import { createNonce } from "./rookery.js";

const CHANGES = "rookery.board.changes";
const SEEN = "rookery.board.seen";
const VISITED = "rookery.board.visited";
/** Boards remembered, the newest of them. */
const MAX_VISITED = 12;
/** How long an earlier page of this tab may take to let go of its lock. */
const LOCK_WAIT_MS = 1_000;

export class BoardStore {
  #board;
  #tab;

  /** Opens the store of a board for this tab. */
  static async open(board) {
    heldTab ??= await holdTab(recall("tab", null) ?? createNonce());
    remember("tab", heldTab);
    return new BoardStore(board, heldTab);
  }

  constructor(board, tab) {
    this.#board = board;
    this.#tab = tab;
  }

  /** The changes kept for this tab, and those of tabs that are gone: `[{key, kept}]`, own first. */
  async changes() {
    const own = this.#changesKey(this.#tab);
    const found = [];
    for (const key of keysWith(`${CHANGES}/${this.#board}/`)) {
      const kept = read(key, null);
      if (!kept) continue;
      if (key === own) found.unshift({ key, kept });
      else if (await hold(key.slice(key.lastIndexOf("/") + 1), 0)) found.push({ key, kept });
    }
    return found;
  }

  /** Keeps this tab's changes. False where the browser refuses. */
  keepChanges(pending) {
    const key = this.#changesKey(this.#tab);
    if (pending.size > 0) return write(key, pending);
    drop(key);
    return true;
  }

  /** What could not be taken up of a tab that is gone stays for the next one; the rest is ours now. */
  keepRest(key, kept, rest) {
    if (key === this.#changesKey(this.#tab)) return;
    if (rest.length > 0) write(key, { ...kept, changes: rest });
    else drop(key);
  }

  /** How the board looked last, or null. */
  seen() {
    return read(`${SEEN}/${this.#board}`, null);
  }

  /** Keeps how the board looks; where there is no room, the looks of other boards go first. */
  keepSeen(seen) {
    const own = `${SEEN}/${this.#board}`;
    if (write(own, seen)) return;
    for (const key of keysWith(`${SEEN}/`)) if (key !== own) drop(key);
    if (!write(own, seen)) drop(own);
  }

  #changesKey(tab) {
    return `${CHANGES}/${this.#board}/${tab}`;
  }
}

/** The boards opened in this browser, this one first. */
export function visit(board) {
  const others = read(VISITED, []).filter((name) => name !== board);
  const visited = [board, ...others].slice(0, MAX_VISITED);
  write(VISITED, visited);
  return visited;
}

/** The name of this tab, once its lock is held. */
let heldTab = null;

async function holdTab(tab) {
  if (await hold(tab, LOCK_WAIT_MS)) return tab;
  // A duplicated tab brings the name of its original along, whose lock is held.
  const another = createNonce();
  await hold(another, LOCK_WAIT_MS);
  return another;
}

/** Holds a lock of this name until the page goes. Without locks (no TLS) every tab is on its own. */
function hold(name, waitMs) {
  const { locks } = navigator;
  if (!locks) return Promise.resolve(waitMs > 0);
  return new Promise((resolve) => {
    const options = waitMs > 0 ? { signal: AbortSignal.timeout(waitMs) } : { ifAvailable: true };
    const holding = locks.request(`rookery.board.${name}`, options, (lock) => {
      resolve(lock !== null);
      return lock && new Promise(() => {}); // never given back
    });
    holding.catch(() => resolve(false));
  });
}

function keysWith(prefix) {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  } catch {
    return [];
  }
}

function read(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false; // refused, or full
  }
}

function drop(key) {
  try {
    localStorage.removeItem(key);
  } catch {
    // Where storage is refused nothing is kept.
  }
}
