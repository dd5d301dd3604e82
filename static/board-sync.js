/**
 * A board's model and its room: what is pending goes out by compare-and-set,
 * what others write comes in, and what only counts now (cursors, selections)
 * goes by signal. It knows no elements.
 *
 * A board is the room `board:NAME`.
 */

import { Rookery } from "./rookery.js";
import { FIRST_COLUMNS, isColumn } from "./board-model.js";

/** The room of a board. */
export const roomOf = (board) => `board:${board}`;

/** Writes handed over at once; the room sends one after the other. */
const MAX_UNDER_WAY = 16;
/** How long to wait before the board's look is kept. */
const KEEP_SEEN_MS = 1_000;
/** Changes kept in the browser are a copy in sight of every tab: its loss is told once. */
const NOT_KEPT = "This browser keeps nothing: what is not sent yet is lost when the page is closed.";

export class BoardSync {
  /** user → the name seen last, also of those who left. */
  names = new Map();
  #client;
  #room;
  #model;
  #store;
  #hooks;
  #joined = false;
  #ended = false;
  #writers = new Map(); // key → who wrote it last, as far as it was heard
  #keepTimer;
  #warned = false;
  #maySignal = true;

  /**
   * @param {object} parts
   * @param {import("./chat-identity.js").Identity} parts.identity
   * @param {string} parts.board
   * @param {import("./board-model.js").BoardModel} parts.model
   * @param {import("./board-store.js").BoardStore} parts.store
   * @param {object} hooks
   * @param {(keys: string[] | null, by: string | null) => void} hooks.onBoard these keys look different (null: any may), by whom
   * @param {() => void} hooks.onPending something is on its way, or arrived, or was refused
   * @param {(change: object) => void} hooks.onConnection
   * @param {(change: object) => void} hooks.onPresence
   * @param {(signal: {user: string, event: string, data: any}) => void} hooks.onSignal
   * @param {(problem: string) => void} hooks.onProblem
   * @param {(problem: string) => void} hooks.onLeave it cannot go on
   */
  constructor({ identity, board, model, store }, hooks) {
    this.#model = model;
    this.#store = store;
    this.#hooks = hooks;
    this.identity = identity;
    this.#client = new Rookery(undefined, { token: (request) => identity.token(request) });
    this.#client.on("state", (change) => !this.#ended && hooks.onConnection(change));
    this.#client.on("error", (error) => error.code === "unauthorized" && hooks.onLeave(error.message));
    this.#room = this.#client.join(roomOf(board));
    this.#room.on("joined", (joined) => this.#began(joined));
    this.#room.on("message", (message) => message.type === "set" && this.#heard(message));
    this.#room.on("presence", (change) => this.#presence(change));
    this.#room.on("signal", (signal) => hooks.onSignal(signal));
    this.#room.on("joining", () => hooks.onPending());
    this.#room.on("left", ({ reason }) => reason !== "client" && !this.#ended && hooks.onProblem(whyLeft(reason)));
    // Refused without an answer to a write: who may not signal need not go on trying.
    this.#room.on("error", ({ code }) => code === "forbidden" && (this.#maySignal = false));
  }

  /** Shows what was kept from before, and connects. */
  async start() {
    const { pending } = this.#model;
    const seen = this.#store.seen();
    if (seen) pending.snapshot(seen.state, seen.epoch);
    for (const { key, kept } of await this.#store.changes()) this.#store.keepRest(key, kept, pending.restore(kept));
    this.#keepChanges();
    this.#hooks.onBoard(null, null);
    this.#hooks.onPending();
    if (!this.#ended) this.#client.connect();
  }

  end() {
    this.#ended = true;
    this.keep();
    this.#client.close();
  }

  /** Keeps in the browser what has to outlive the page. */
  keep() {
    this.#keepChanges();
    clearTimeout(this.#keepTimer);
    if (this.#joined) this.#store.keepSeen(this.#model.pending.seen);
  }

  get user() {
    return this.#client.user ?? this.identity.user;
  }

  get state() {
    return this.#client.state;
  }

  get retryAt() {
    return this.#client.retryAt;
  }

  get hadConnection() {
    return this.#client.session !== null;
  }

  /** Is the board at hand, and what is done here sent at once? */
  get isLive() {
    return this.#room.state === "joined";
  }

  /** Was the board seen, now or in an earlier visit? */
  get isKnown() {
    return this.#joined || this.#model.pending.epoch !== null;
  }

  get members() {
    return this.#room.members;
  }

  get count() {
    return this.#room.count;
  }

  /** Tries to connect now. */
  hurry() {
    if (this.#client.state === "disconnected") this.#client.connect();
    else this.#client.reconnectNow();
  }

  /** What to call a user. */
  nameOf(user) {
    return this.#room.members.get(user)?.name ?? this.names.get(user) ?? user ?? "Server";
  }

  /** Who wrote a key last: from the log where it was heard, else as the value says. */
  writerOf(key) {
    const user = this.#writers.get(key);
    if (user !== undefined) return this.nameOf(user);
    return this.#model.pending.theirs(key)?.by || "Somebody";
  }

  /** Tells the others something that only counts now. */
  signal(event, data) {
    return this.#maySignal && this.#room.count > 1 && this.#room.signal(event, data);
  }

  /** The model changed: what it holds is kept, and sent when that is possible. */
  push() {
    this.#keepChanges();
    this.#hooks.onPending();
    if (!this.isLive) return;
    const writes = this.#model.pending.due(MAX_UNDER_WAY);
    if (writes.length > 0) this.#keepChanges(); // with their nonces: after a reload they are the same writes
    for (const write of writes) this.#write(write);
  }

  async #write({ key, value, nonce, ifVersion }) {
    const { pending } = this.#model;
    try {
      const { seq } = await this.#room.set(key, value, { ifVersion, nonce });
      pending.acknowledged(key, nonce, seq);
    } catch (error) {
      if (this.#ended) return;
      if (error.code === "conflict") pending.conflicted(key, nonce, error.current);
      else pending.refused(key, nonce, mayGoLater(error) ? null : explain(error));
    }
    this.#hooks.onBoard([key], null);
    this.push();
  }

  #began({ recovered, epoch, seq }) {
    const { pending } = this.#model;
    // What the room still holds to send, it sends itself; after a reload only the store knows of it.
    const resumed = this.#joined ? [] : pending.resumed();
    this.#joined = true;
    if (!recovered) this.#writers.clear();
    pending.snapshot(this.#room.shared, epoch, seq);
    for (const write of resumed) if (pending.stateOf(write.key) === "sending") this.#write(write);
    if (seq === 0) this.#seed();
    this.#hooks.onBoard(null, null);
    this.push();
    this.#keepSeenSoon();
  }

  /** A new board gets its first columns; who comes second finds them. */
  #seed() {
    if ([...this.#model.pending.entries()].some(([key]) => isColumn(key))) return;
    for (const [key, value] of FIRST_COLUMNS) {
      this.#room.set(key, value, { ifVersion: 0 }).catch((error) => error.code !== "conflict" && this.#hooks.onProblem(explain(error)));
    }
  }

  #heard({ key, value, version, user }) {
    this.#writers.set(key, user);
    if (!this.#model.pending.receive(key, value, version)) return;
    this.#hooks.onBoard([key], user === this.user ? null : this.nameOf(user));
    this.push();
    this.#keepSeenSoon();
  }

  #presence(change) {
    for (const { user, name } of [...change.joined, ...change.updated]) if (name) this.names.set(user, name);
    this.#hooks.onPresence(change);
  }

  #keepChanges() {
    if (this.#store.keepChanges(this.#model.pending) || this.#warned) return;
    this.#warned = true;
    this.#hooks.onProblem(NOT_KEPT);
  }

  #keepSeenSoon() {
    clearTimeout(this.#keepTimer);
    this.#keepTimer = setTimeout(() => this.#store.keepSeen(this.#model.pending.seen), KEEP_SEEN_MS);
  }
}

/** May the same write succeed later, without anybody doing anything? */
const mayGoLater = ({ code }) => code === "disconnected" || code === "left";

/** A refusal, for the person whose change it was. */
function explain(error) {
  switch (error.code) {
    case "too_large":
      return /state is full/.test(error.message)
        ? `The board is full: it holds ${error.message.replace(/^.*full: /, "")}. Delete cards that are no longer needed, then try again.`
        : `That is too long: ${error.message}. Shorten the text or delete comments.`;
    case "forbidden":
      return "You may look at this board, but not change it.";
    default:
      return error.message;
  }
}

/** Why the board cannot be shown any more, for the person who looks at it. */
function whyLeft(reason) {
  switch (reason) {
    case "forbidden":
      return "You may not open this board.";
    case "room_full":
      return "Too many people are on this board. Try again later.";
    default:
      return `The server ended your stay on this board (${reason}).`;
  }
}
