/**
 * Rookery's client: one ES module, no build step, no dependencies.
 *
 *     import { Rookery } from "/rookery.js";
 *
 *     const client = new Rookery("wss://example.org/ws", { token: fetchToken });
 *     client.connect();
 *     const room = client.join("lobby", { history: 50 });
 *     room.on("joined", ({ recovered }) => recovered || view.clear());
 *     room.on("message", (message) => view.append(message));
 *     await room.chat("hello");
 *
 * It reconnects by itself, resumes every room where it stopped, delivers each
 * log message once, and sends a write again, with the same nonce, until the
 * server has acknowledged or refused it.
 *
 * Where WebSockets do not get through, it listens to Server-Sent Events and says
 * what it has to say by POST, and goes back to a WebSocket when one gets through.
 *
 * It runs in browsers and in Node 20 and later (pass `WebSocket` as an option
 * where the runtime has none). In reading order: errors, delays, close codes,
 * Emitter, EventStream, Outbox, Room, Rookery.
 *
 * @module rookery
 */

const SUBPROTOCOL = "rookery.v1";

const DEFAULTS = Object.freeze({
  minDelayMs: 500,
  maxDelayMs: 20_000,
  connectTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  maxQueued: 1_000,
  socketRetryMs: 30_000,
});

/** A connection that lived this long counts as good: the next loss starts the backoff anew. */
const STABLE_MS = 5_000;
/** The least wait after the server closed for `rate_limited`. */
const SLOW_MS = 5_000;
/** Browsers hide why a handshake was refused; after this many in a row the token is suspected. */
const REFUSALS_BEFORE_NEW_TOKEN = 2;
/** How long a check waits that was caused by a hint (offline event, tab shown again). */
const PROBE_MS = 5_000;
/** Heartbeat assumed where `welcome` names none. */
const HEARTBEAT = Object.freeze({ interval_ms: 25_000, timeout_ms: 10_000 });
/** A writer repeats `typing` this often, … */
const TYPING_REPEAT_MS = 3_000;
/** … stops by itself after this pause, … */
const TYPING_PAUSE_MS = 5_000;
/** … and readers forget a writer who fell silent. */
const TYPING_EXPIRES_MS = 7_000;
/** Signals and typing are dropped, not queued, while this much waits in the socket. */
const MAX_BUFFERED_BYTES = 1 << 20;
/** After `rate_limited`, writes keep at least this distance, doubled at each refusal, … */
const MIN_GAP_MS = 25;
/** … up to this. */
const MAX_GAP_MS = 2_000;
/** After this many WebSockets in a row that came to nothing, events are tried. */
const FAILURES_BEFORE_EVENTS = 2;
/** While events serve, a WebSocket is tried again at doubled intervals, up to this. */
const MAX_SOCKET_RETRY_MS = 600_000;
/** The most messages in one POST, … */
const MAX_POSTED = 32;
/** … and the most bytes of several, as long as `welcome` names no limit. */
const MAX_POSTED_BYTES = 64 * 1024;
/** Deleted keys remembered in each room, so that a late older `set` does not bring one back. */
const MAX_TOMBSTONES = 1_000;

// --- errors ------------------------------------------------------------------

/**
 * What a promise of this module rejects with and what `error` events carry.
 * `code` is a code of the protocol (`forbidden`, `conflict`, `too_large`, …) or
 * one of the client's own: `queue_full`, `disconnected`, `left`, `timeout`,
 * `token_failed`, `connection_closed`.
 */
export class RookeryError extends Error {
  /**
   * @param {string} code
   * @param {string} message for people
   * @param {object} [details] `room`, `current`, `retryAfterMs`, `closeCode`, `reason`, `cause`
   */
  constructor(code, message, details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "RookeryError";
    this.code = code;
    this.room = details.room;
    this.current = details.current;
    this.retryAfterMs = details.retryAfterMs;
    this.closeCode = details.closeCode;
    this.reason = details.reason;
  }
}

const errorFromServer = (message) =>
  new RookeryError(String(message.code), String(message.message ?? message.code), {
    room: message.room,
    current: message.current,
    retryAfterMs: message.retry_after_ms,
  });

// --- delays ------------------------------------------------------------------

/**
 * Full jitter: anything from 0 to `min(cap, base * 2^attempt)`, so that clients
 * who lost the same server do not come back in step.
 *
 * @param {number} attempt 0 for the first
 * @param {number} base milliseconds
 * @param {number} cap milliseconds
 * @returns {number} milliseconds
 */
export function backoffDelay(attempt, base = DEFAULTS.minDelayMs, cap = DEFAULTS.maxDelayMs) {
  return Math.round(Math.random() * Math.min(cap, base * 2 ** Math.min(attempt, 30)));
}

/**
 * A fresh nonce: 128 random bits in hex. Unlike `crypto.randomUUID` it also
 * works on pages served without TLS.
 *
 * @returns {string}
 */
export function createNonce() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- close codes -------------------------------------------------------------

const ADVICE_BY_REASON = new Map([
  ["shutting_down", "reconnect"],
  ["heartbeat_timeout", "reconnect"],
  ["slow_consumer", "reconnect"],
  ["internal", "reconnect"],
  ["token_expired", "renew"],
  ["token_revoked", "renew"],
  ["rate_limited", "slow"],
  ["replaced", "stay"],
  ["kicked", "stay"],
  ["unsupported_data", "fix"],
  ["too_large", "fix"],
]);

const ADVICE_BY_CODE = new Map([
  [1002, "fix"],
  [1003, "fix"],
  [1007, "fix"],
  [1008, "stay"],
  [1009, "fix"],
]);

/**
 * What to do after a close: `reconnect`, `renew` (get a token, then reconnect),
 * `slow` (reconnect after a longer wait), `stay` (away: somebody meant it), or
 * `fix` (this client broke the protocol; trying again would break it again).
 *
 * @param {number} code
 * @param {string} [reason]
 * @returns {"reconnect" | "renew" | "slow" | "stay" | "fix"}
 */
export function closeAdvice(code, reason = "") {
  return ADVICE_BY_REASON.get(reason) ?? ADVICE_BY_CODE.get(code) ?? "reconnect";
}

// --- events ------------------------------------------------------------------

// Symbols keep what Room and Rookery say to each other off the public surface.
const emit = Symbol("emit");
const expectJoin = Symbol("expectJoin");
const joinPending = Symbol("joinPending");
const receive = Symbol("receive");
const lose = Symbol("lose");
const depart = Symbol("depart");

/** Named events; the base of `Rookery` and `Room`. */
class Emitter {
  #listeners = new Map();

  /**
   * Calls `listener` at every event of this name.
   *
   * @param {string} event
   * @param {Function} listener
   * @returns {() => void} ends the subscription
   */
  on(event, listener) {
    let listeners = this.#listeners.get(event);
    if (!listeners) this.#listeners.set(event, (listeners = new Set()));
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  [emit](event, ...details) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(...details);
      } catch (error) {
        // A faulty listener is reported as uncaught, but must not stop the client half-way.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

// --- transports --------------------------------------------------------------

/**
 * A connection by Server-Sent Events and POST, with the face of a WebSocket:
 * `onmessage`, `onclose`, `send`, `close`, `readyState`, `bufferedAmount`; and
 * `onlife` at each sign of life that is no message.
 *
 * What is sent goes in order, one POST at a time. Where it cannot be told
 * whether one arrived, the connection is given up: who resumes loses nothing,
 * who guesses may.
 */
class EventStream {
  readyState = 0;
  bufferedAmount = 0;
  onmessage = ignore;
  onclose = ignore;
  onlife = ignore;
  /** The token that further POSTs show. */
  token;

  #url;
  #fetch;
  #patience;
  #abort = new AbortController();
  #farewell = { code: 1006, reason: "" };
  #posts = null; // where to POST, once `welcome` has named the session
  #limit = MAX_POSTED_BYTES;
  #queue = [];
  #posting = false;
  #retryTimer;

  /**
   * @param {URL} url of the stream, its query included
   * @param {object} options
   * @param {string | null} options.token null: the cookie is relied on
   * @param {typeof fetch} options.fetch
   * @param {number} options.patience how long a POST may take
   */
  constructor(url, { token, fetch, patience }) {
    this.#url = url;
    this.#fetch = fetch;
    this.#patience = patience;
    this.token = token;
    this.#listen().catch(() => this.#end());
  }

  send(text) {
    this.#queue.push(text);
    this.bufferedAmount += text.length;
    // Messages sent in one go share a POST.
    if (!this.#posting) {
      this.#posting = true;
      queueMicrotask(() => this.#post());
    }
  }

  close() {
    this.readyState = 3;
    clearTimeout(this.#retryTimer);
    this.#abort.abort();
  }

  async #listen() {
    const response = await this.#request(this.#url, {
      headers: { ...this.#credentials(), Accept: "text/event-stream" },
      signal: this.#abort.signal,
    });
    if (!response.ok) {
      response.body?.cancel().catch(ignore);
      return this.#end(1006, `http_${response.status}`);
    }
    this.readyState = 1;
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (this.readyState !== 1) return undefined;
      if (done) return this.#end();
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) this.#heard(block);
    }
  }

  /** The lines of one event. The server sends one line of data with each. */
  #heard(block) {
    if (this.readyState !== 1) return;
    const fields = new Map(block.split("\n").map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
    }));
    const data = fields.get("data");
    if (data === undefined) {
      this.onlife();
    } else if (fields.get("event") === "close") {
      this.#farewell = JSON.parse(data);
    } else {
      if (this.#posts === null) this.#welcomed(JSON.parse(data));
      this.onmessage({ data });
    }
  }

  #welcomed({ session, limits }) {
    this.#posts = new URL(`api/v1/client/${encodeURIComponent(session)}`, this.#url);
    this.#limit = limits?.message_bytes ?? this.#limit;
  }

  async #post() {
    while (this.#queue.length > 0 && this.readyState === 1) {
      const texts = this.#batch();
      const patience = setTimeout(() => this.#end(), this.#patience);
      let response;
      try {
        response = await this.#request(this.#posts, {
          method: "POST",
          headers: { ...this.#credentials(), "Content-Type": "application/json" },
          body: `[${texts.join(",")}]`,
          signal: this.#abort.signal,
        });
        await response.text();
      } catch {
        return this.#end();
      } finally {
        clearTimeout(patience);
      }
      if (response.status === 429) {
        // None was taken: the same ones go again.
        this.#queue.unshift(...texts);
        const seconds = Number(response.headers.get("Retry-After")) || 1;
        this.#retryTimer = setTimeout(() => this.#post(), seconds * 1_000);
        return undefined;
      }
      if (!response.ok) return this.#end(...(POST_REFUSALS.get(response.status) ?? []));
      for (const text of texts) this.bufferedAmount -= text.length;
    }
    this.#posting = false;
    return undefined;
  }

  /** The next messages that fit together; one alone always does. */
  #batch() {
    let bytes = 0;
    const fits = (text, index) => {
      bytes += 3 * text.length; // as UTF-8 at most
      return index === 0 || (index < MAX_POSTED && bytes <= this.#limit);
    };
    const count = this.#queue.findIndex((text, index) => !fits(text, index));
    return this.#queue.splice(0, count === -1 ? this.#queue.length : count);
  }

  #credentials() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  #request(url, options) {
    return this.#fetch.call(globalThis, url, { cache: "no-store", credentials: "include", ...options });
  }

  #end(code = this.#farewell.code, reason = this.#farewell.reason) {
    if (this.readyState === 3) return;
    this.close();
    this.onclose({ code, reason });
  }
}

/** What the close would have been over a WebSocket, by the status of a refused POST. */
const POST_REFUSALS = new Map([
  [401, [1008, "token_expired"]],
  [413, [1009, "too_large"]],
]);

// --- writes ------------------------------------------------------------------

/**
 * The writes not yet acknowledged, in one lane for each room and each inbox.
 *
 * Of a lane one write is on its way at a time. That keeps their order when the
 * first is refused for now and sent again, and lets the server's acks pace a
 * long queue that was written while offline. The queue is bounded over all
 * lanes; beyond the bound a write is refused with `queue_full`.
 */
class Outbox {
  #lanes = new Map();
  #byId = new Map();
  #bound;
  #ackTimeout;
  #transmit;
  #pausedUntil = 0;
  #gap = 0; // least time between two writes; above 0 after the rate was limited
  #lastSent = 0;

  /**
   * @param {object} options
   * @param {number} options.bound most writes held
   * @param {number} options.ackTimeout a write without an answer for so long is sent again
   * @param {(lane: string, message: object) => boolean} options.transmit false where the lane is not open now
   */
  constructor({ bound, ackTimeout, transmit }) {
    this.#bound = bound;
    this.#ackTimeout = ackTimeout;
    this.#transmit = transmit;
  }

  get size() {
    return this.#byId.size;
  }

  add(lane, message) {
    return new Promise((resolve, reject) => {
      if (this.#byId.size >= this.#bound) {
        reject(
          new RookeryError("queue_full", `${this.#bound} writes are waiting to be acknowledged already`),
        );
        return;
      }
      const write = { lane, message, resolve, reject, sent: false, timer: undefined, tries: 0, rejoined: false };
      this.#byId.set(message.id, write);
      const waiting = this.#lanes.get(lane);
      if (waiting) waiting.push(write);
      else this.#lanes.set(lane, [write]);
      this.flush(lane);
    });
  }

  /** Sends the first write of a lane, if it may go now. */
  flush(lane) {
    const write = this.#lanes.get(lane)?.[0];
    if (!write || write.sent || write.timer) return;
    const wait = Math.max(this.#pausedUntil, this.#lastSent + this.#gap) - Date.now();
    if (wait > 0) {
      this.#flushAfter(write, wait);
    } else if (this.#transmit(lane, write.message)) {
      write.sent = true;
      this.#lastSent = Date.now();
      // The nonce makes sending again safe; the id stays, so that either answer will do.
      write.timer = setTimeout(() => this.#again(write), this.#ackTimeout);
    }
  }

  flushAll() {
    for (const lane of [...this.#lanes.keys()]) this.flush(lane);
  }

  /** The connection is gone: whatever was on its way may or may not have arrived. */
  interrupt() {
    for (const write of this.#byId.values()) {
      clearTimeout(write.timer);
      write.timer = undefined;
      write.sent = false;
    }
    this.#pausedUntil = 0;
  }

  has(id) {
    return this.#byId.has(id);
  }

  acknowledge(id, { seq, epoch, duplicate = false }) {
    const write = this.#remove(id);
    this.#gap = this.#gap < 5 ? 0 : this.#gap * 0.98;
    write.resolve({ seq, epoch, duplicate, nonce: write.message.nonce });
    this.flush(write.lane);
  }

  /**
   * The log itself shows these nonces: their writes are in, whatever became of
   * the ack. (This holds even where the server's dedup window has passed.)
   */
  acknowledgeByNonce(lane, found) {
    for (const write of [...(this.#lanes.get(lane) ?? [])]) {
      const position = found.get(write.message.nonce);
      if (position) this.acknowledge(write.message.id, { ...position, duplicate: true });
    }
  }

  /** The server refused a write: for now (it is sent again) or for good. */
  refuse(id, error, rejoin) {
    const write = this.#byId.get(id);
    clearTimeout(write.timer);
    write.timer = undefined;
    write.sent = false;
    if (error.code === "rate_limited") {
      this.pause(error.retryAfterMs);
      this.flush(write.lane);
    } else if (error.code === "unavailable") {
      this.#flushAfter(write, error.retryAfterMs ?? 100 + backoffDelay(write.tries));
      write.tries += 1;
    } else if (error.code === "not_joined" && !write.rejoined) {
      write.rejoined = true;
      rejoin(write.lane);
    } else {
      this.#remove(id).reject(error);
      this.flush(write.lane);
    }
  }

  /**
   * The rate is limited, for the whole session: wait as told, then go on at a
   * slower pace, which recovers with every ack. (Whoever only waits runs into
   * the limit again at once, and is closed for it in the end.)
   */
  pause(retryAfterMs = 100) {
    this.#pausedUntil = Date.now() + retryAfterMs;
    this.#gap = Math.min(MAX_GAP_MS, Math.max(MIN_GAP_MS, this.#gap * 2));
  }

  /** Gives a lane up. */
  reject(lane, error) {
    for (const write of [...(this.#lanes.get(lane) ?? [])]) this.#remove(write.message.id).reject(error);
  }

  rejectAll(error) {
    for (const lane of [...this.#lanes.keys()]) this.reject(lane, error);
  }

  /** Gives up the biggest write on its way: after a close for size it is the likely cause. */
  rejectLargestSent(error) {
    let largest;
    for (const write of this.#byId.values()) {
      const size = JSON.stringify(write.message).length;
      if (write.sent && !(size <= largest?.size)) largest = { id: write.message.id, size };
    }
    if (largest) this.#remove(largest.id).reject(error);
  }

  #again(write) {
    write.timer = undefined;
    write.sent = false;
    this.flush(write.lane);
  }

  #flushAfter(write, wait) {
    write.timer = setTimeout(() => this.#again(write), wait);
  }

  #remove(id) {
    const write = this.#byId.get(id);
    clearTimeout(write.timer);
    this.#byId.delete(id);
    const waiting = this.#lanes.get(write.lane);
    waiting.splice(waiting.indexOf(write), 1);
    if (waiting.length === 0) this.#lanes.delete(write.lane);
    return write;
  }
}

// --- rooms -------------------------------------------------------------------

/**
 * A room this client is in or wants to be in. Made by `Rookery.join`.
 *
 * `state` is `joining` (also while the connection is down: the room is joined
 * again by itself), `joined`, or `left` (by `leave`, or refused; this object is
 * then done, and `client.join` makes a new one).
 *
 * Events:
 * - `joined` `{recovered, resumed, epoch, seq, count}`: with `recovered: false`
 *   clear your view. Whatever is to be shown follows as `message` events: what
 *   was missed, or else the newest page.
 * - `message` `(message, {replayed})`: an entry of the log (`chat`, `event`,
 *   `set`), each once; `replayed` where it came with `joined`.
 * - `presence` `{joined, updated, left, count, snapshot}`, after `members` changed.
 * - `state` `{keys, snapshot}`, after `shared` changed.
 * - `typing` `{user, active}`, after `typingUsers` changed.
 * - `signal` `{user, event, data}`
 * - `joining`, `left` `{reason}`
 * - `error` `RookeryError`
 */
class Room extends Emitter {
  #link;
  #history;
  #state = "joining";
  #epoch = null;
  #seq = 0;
  #joinedSeq = 0;
  #joinId = null;
  /** A `joined` whose state has not come as a whole. */
  #partial = null;
  #members = new Map();
  #count = 0;
  #countOnly = false;
  #shared = new Map();
  #tombstones = new Map();
  #typing = new Map();
  #typingSentAt = 0;
  #typingPause;
  #waiting = [];

  constructor(name, { history, since } = {}, link) {
    super();
    /** @readonly */
    this.name = name;
    this.#history = history;
    this.#link = link;
    if (since) {
      this.#epoch = since.epoch;
      this.#seq = since.seq;
    }
  }

  get state() {
    return this.#state;
  }

  /** The life of the log that `seq` belongs to; null before the first join. */
  get epoch() {
    return this.#epoch;
  }

  /** The highest position seen. */
  get seq() {
    return this.#seq;
  }

  /** user → member, as of now. Empty where the room is over the server's presence limit. */
  get members() {
    return this.#members;
  }

  /** How many users are here, known also where `members` is not. */
  get count() {
    return this.#count;
  }

  /** key → `{value, version}`: the room's shared state. */
  get shared() {
    return this.#shared;
  }

  /** The users writing just now. */
  get typingUsers() {
    return [...this.#typing.keys()];
  }

  /** Resolves with this room once it is joined; rejects where the join is refused. */
  ready() {
    if (this.#state === "joined") return Promise.resolve(this);
    if (this.#state === "left") return Promise.reject(this.#goneError());
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /**
   * Appends a chat message. Resolves once it is in the log.
   *
   * @param {string} content
   * @param {{nonce?: string, echo?: boolean}} [options]
   */
  chat(content, options) {
    this.typing(false);
    return this.#write({ type: "chat", room: this.name, content }, options);
  }

  /** Appends an event of the application's own. Resolves once it is in the log. */
  publish(event, data, options) {
    return this.#write({ type: "publish", room: this.name, event, data: data ?? null }, options);
  }

  /**
   * Sets a key of the shared state; null deletes it. With `ifVersion` (0: must
   * not exist) a newer write makes it fail with `conflict` and `current`.
   */
  set(key, value, { ifVersion, nonce } = {}) {
    const message = { type: "set", room: this.name, key, value: value ?? null };
    if (ifVersion !== undefined) message.if_version = ifVersion;
    return this.#write(message, { nonce });
  }

  /**
   * Tells the other members something that only counts now. Never queued.
   *
   * @returns {boolean} false where it was dropped
   */
  signal(event, data) {
    return this.#state === "joined" && this.#link.cast({ type: "signal", room: this.name, event, data: data ?? null });
  }

  /** Call it at every key press: it is sent sparingly, and taken back after a pause. */
  typing(active = true) {
    clearTimeout(this.#typingPause);
    if (!active) {
      if (this.#typingSentAt === 0) return;
      this.#typingSentAt = 0;
    } else {
      this.#typingPause = setTimeout(() => this.typing(false), TYPING_PAUSE_MS);
      if (Date.now() - this.#typingSentAt < TYPING_REPEAT_MS) return;
      this.#typingSentAt = Date.now();
    }
    if (this.#state === "joined") this.#link.cast({ type: "typing", room: this.name, active });
  }

  /**
   * A page of the log, in rising order; `more` tells whether the asked
   * direction goes on.
   *
   * @param {{before?: number, after?: number, limit?: number}} [page]
   */
  async history({ before, after, limit } = {}) {
    const reply = await this.#link.request({ type: "history", room: this.name, before, after, limit });
    return { epoch: reply.epoch, messages: reply.messages, more: reply.more === true };
  }

  /** Asks who is here now, and brings `members` up to date. */
  async presence() {
    const reply = await this.#link.request({ type: "presence", room: this.name });
    this[emit]("presence", this.#replaceMembers(reply.members, reply.count));
    return this.#members;
  }

  /** Leaves for good. Writes not yet acknowledged are rejected with `left`. */
  leave() {
    return this.#link.leave(this);
  }

  // -- from the client --

  /** The `join` to send now. */
  [expectJoin](id) {
    this.#joinId = id;
    const message = { type: "join", id, room: this.name };
    if (this.#epoch !== null) message.since = { epoch: this.#epoch, seq: this.#seq };
    if (this.#history !== undefined) message.history = this.#history;
    return message;
  }

  /** Is this the id of the join under way? */
  [joinPending](id) {
    return this.#joinId !== null && this.#joinId === id;
  }

  [receive](message) {
    if (message.type === "joined") {
      this.#partial = message.state_more === true ? message : null;
      if (!this.#partial) this.#joined(message);
    } else if (message.type === "state") {
      this.#page(message);
    } else if (message.type === "error") {
      this[emit]("error", errorFromServer(message));
    } else if (this.#state !== "joined") {
      // Left over from an earlier membership; the coming `joined` covers it.
    } else if (message.type === "presence") {
      this.#applyPresence(message);
    } else if (message.type === "typing") {
      this.#setTyping(message.user, message.active === true);
    } else if (message.type === "signal") {
      this[emit]("signal", { user: message.user, event: message.event, data: message.data });
    } else if (Number.isSafeInteger(message.seq)) {
      this.#logged(message);
    }
  }

  /** The connection is down: the room is wanted, not had. */
  [lose](reason) {
    this.#joinId = null;
    this.#partial = null;
    this.#forgetTyping();
    if (this.#state !== "joined") return;
    this.#state = "joining";
    this[emit]("joining", { reason });
  }

  [depart](error) {
    this.#joinId = null;
    this.#partial = null;
    this.#forgetTyping();
    this.#state = "left";
    for (const { reject } of this.#waiting.splice(0)) reject(error ?? this.#goneError());
    this[emit]("left", { reason: error?.code ?? "client" });
    if (error) this[emit]("error", error);
  }

  // -- inside --

  #goneError() {
    return new RookeryError("left", `the room ${this.name} was left`, { room: this.name });
  }

  #write(message, { nonce, echo } = {}) {
    if (this.#state === "left") return Promise.reject(this.#goneError());
    if (echo !== undefined) message.echo = echo;
    return this.#link.write(this.name, message, nonce);
  }

  /** A large state comes in pages behind `joined`, before anything else of the room. */
  #page({ state, more }) {
    const joined = this.#partial;
    if (!joined) return;
    joined.state = { ...joined.state, ...state };
    if (more === true) return;
    this.#partial = null;
    this.#joined(joined);
  }

  #joined(message) {
    if (message.id !== undefined && message.id !== this.#joinId) return; // the answer to a join given up since
    this.#joinId = null;
    const resumed = this.#epoch !== null;
    const recovered = message.recovered === true;
    const messages = Array.isArray(message.messages) ? message.messages : [];
    const known = recovered && message.epoch === this.#epoch ? this.#seq : 0;
    this.#epoch = message.epoch;
    this.#seq = this.#joinedSeq = message.seq;
    this.#state = "joined";

    const nonces = new Map();
    for (const entry of messages) {
      if (entry.nonce && entry.user === this.#link.user()) nonces.set(entry.nonce, { seq: entry.seq, epoch: message.epoch });
    }
    if (nonces.size > 0) this.#link.found(this.name, nonces);

    for (const { resolve } of this.#waiting.splice(0)) resolve(this);

    const members = this.#replaceMembers(message.members, message.count);
    const keys = this.#replaceShared(message.state);
    this[emit]("joined", { recovered, resumed, epoch: message.epoch, seq: message.seq, count: this.#count });
    this[emit]("presence", members);
    if (keys.length > 0) this[emit]("state", { keys, snapshot: true });
    for (const entry of messages) {
      if (entry.seq > known) this[emit]("message", entry, { replayed: true });
    }
  }

  /** A live entry of the log. Reliable ones come in order; a `set` may come late, and counts by its version. */
  #logged(message) {
    if (message.type === "set") {
      if (message.seq <= this.#joinedSeq || !this.#applySet(message)) return;
    } else if (message.seq <= this.#seq) {
      return;
    }
    this.#seq = Math.max(this.#seq, message.seq);
    if (message.type === "chat") this.#setTyping(message.user, false);
    this[emit]("message", message, { replayed: false });
    if (message.type === "set") this[emit]("state", { keys: [message.key], snapshot: false });
  }

  #applySet({ key, value, version }) {
    const known = this.#shared.get(key)?.version ?? this.#tombstones.get(key) ?? 0;
    if (version <= known) return false;
    this.#tombstones.delete(key);
    if (value === null) {
      this.#shared.delete(key);
      this.#tombstones.set(key, version);
      if (this.#tombstones.size > MAX_TOMBSTONES) this.#tombstones.delete(this.#tombstones.keys().next().value);
    } else {
      this.#shared.set(key, { value, version });
    }
    return true;
  }

  /** Takes over a snapshot; the keys that differ from what was known. */
  #replaceShared(state) {
    const before = this.#shared;
    this.#tombstones.clear();
    this.#shared = new Map();
    for (const [key, { value, version }] of Object.entries(state ?? {})) this.#shared.set(key, { value, version });
    const keys = new Set([...before.keys(), ...this.#shared.keys()]);
    return [...keys].filter((key) => before.get(key)?.version !== this.#shared.get(key)?.version);
  }

  #replaceMembers(members, count) {
    const list = Array.isArray(members) ? members : [];
    this.#members = new Map(list.map((member) => [member.user, member]));
    this.#count = count ?? list.length;
    this.#countOnly = list.length === 0 && this.#count > 0;
    return { joined: list, updated: [], left: [], count: this.#count, snapshot: true };
  }

  #applyPresence({ joined, updated = [], left = [], count, reset = false }) {
    if (joined === undefined) {
      // Too many members to be listed: a list we kept would rot.
      joined = [];
      this.#members.clear();
      this.#countOnly = true;
    } else if (reset) {
      // Few enough again: this is the whole list.
      this.#members.clear();
      this.#countOnly = false;
    } else if (this.#countOnly) {
      // A diff says nothing without the list it starts from.
      this.#countOnly = false;
      this.presence().catch((error) => this[emit]("error", error));
    }
    for (const member of [...joined, ...updated]) this.#members.set(member.user, member);
    for (const user of left) {
      this.#members.delete(user);
      this.#setTyping(user, false);
    }
    this.#count = count ?? this.#members.size;
    this[emit]("presence", { joined, updated, left, count: this.#count, snapshot: reset });
  }

  #setTyping(user, active) {
    const was = this.#typing.has(user);
    clearTimeout(this.#typing.get(user));
    this.#typing.delete(user);
    if (active) this.#typing.set(user, setTimeout(() => this.#setTyping(user, false), TYPING_EXPIRES_MS));
    if (was !== active) this[emit]("typing", { user, active });
  }

  #forgetTyping() {
    clearTimeout(this.#typingPause);
    this.#typingSentAt = 0;
    for (const user of this.typingUsers) this.#setTyping(user, false);
  }
}

// --- the client --------------------------------------------------------------

/**
 * One connection to a Rookery server, kept up until `close`.
 *
 * `state` is `disconnected`, `connecting` (also while waiting for the next
 * attempt; `retryAt` tells when) or `connected`. `transport` tells by which way.
 *
 * Events:
 * - `state` `{state, previous, code, reason, retryAt}`: `code` and `reason` are
 *   those of the close that led here.
 * - `direct`: a direct message; those to this user carry `epoch` and `seq`, and come
 *   again after a reload until `seen`.
 * - `online` `Map(user → status)`: the watched users that changed.
 * - `reauthenticate` `{expiresAt, inMs}`: the token ends soon. A `token`
 *   callback is asked by itself; others call `refresh`.
 * - `closing` `{reason, reconnect, afterMs}`: the server is about to close.
 * - `error` `RookeryError`: what no promise carries.
 */
export class Rookery extends Emitter {
  #url;
  #options;
  #WebSocket;
  #fetch;
  #network;

  #state = "disconnected";
  #socket = null;
  #transport; // of the connection, or of the next attempt
  #socketFailures = 0; // WebSockets in a row that came to nothing
  #socketRetries = 0;
  #socketTimer;
  #candidate = null; // a WebSocket that is tried while events serve
  #generation = 0; // counts attempts, so that an answer to an older one is known as such
  #attempt = 0; // exponent of the backoff
  #refusals = 0;
  #welcomedAt = 0;
  #retryAt = null;
  #notBefore = 0; // what the server asked for; no hint of the network overrides it
  #retryTimer;
  #connectTimer;
  #closing = null;

  #token = null;
  #tokenReason = "connect"; // why the next attempt must ask for a token; null: the last one is good
  #expiresAt = null;

  #welcome = null;
  #inbox = { epoch: null, seq: 0 };
  #lastHeard = 0;
  #lifeTimer;
  #probeTimer;

  #nextId = 1;
  #requests = new Map();
  #rooms = new Map();
  #outbox;
  #watched = new Set();
  #online = new Map();
  #ownStatus = null;
  #waiting = [];

  /**
   * @param {string | URL} [url] of the WebSocket endpoint; `http(s):` is turned
   *   into `ws(s):`. Default: `/ws` of the page's host.
   * @param {object} [options]
   * @param {string | ((request: {reason: string, user: string | null}) => string | null | Promise<string | null>)} [options.token]
   *   a JWT, or a callback that gets one. Null, or no option: the cookie is
   *   relied on. The callback's `reason` is `connect`, `refresh`, `expired`,
   *   `revoked` or `refused`. Where it throws a `RookeryError` with the code
   *   `unauthorized`, the client gives up; at any other error it tries again.
   * @param {"auto" | "websocket" | "events"} [options.transport] `auto`, the
   *   default: a WebSocket, and events while no WebSocket gets through
   * @param {string | URL} [options.eventsUrl] of the stream of events; default:
   *   `events` beside the WebSocket endpoint
   * @param {typeof WebSocket} [options.WebSocket] for runtimes without one
   * @param {typeof fetch} [options.fetch] in place of the runtime's own
   * @param {EventTarget} [options.networkEvents] source of `online`, `offline`,
   *   `pageshow` and `visibilitychange`; default: the window and its document
   * @param {number} [options.minDelayMs] base of the backoff (500)
   * @param {number} [options.maxDelayMs] its cap (20,000)
   * @param {number} [options.connectTimeoutMs] until `welcome` (10,000)
   * @param {number} [options.requestTimeoutMs] until an answer (10,000)
   * @param {number} [options.maxQueued] bound of unacknowledged writes, and of
   *   unanswered requests (1,000)
   * @param {number} [options.socketRetryMs] while events serve, until a WebSocket
   *   is tried again (30,000), then doubled
   */
  constructor(url, options = {}) {
    super();
    this.#options = { ...DEFAULTS, ...options };
    this.#url = endpoint(url);
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.#fetch = options.fetch ?? globalThis.fetch;
    this.#transport = this.#firstTransport();
    if (typeof options.token === "string") this.#token = options.token;
    this.#outbox = new Outbox({
      bound: this.#options.maxQueued,
      ackTimeout: this.#options.requestTimeoutMs,
      transmit: (lane, message) => {
        const open = lane.startsWith("@") || this.#rooms.get(lane)?.state === "joined";
        return open && this.#send(message);
      },
    });
  }

  /** `disconnected`, `connecting` or `connected`. */
  get state() {
    return this.#state;
  }

  /** `websocket` or `events`: what the connection goes by, or the next attempt. */
  get transport() {
    return this.#transport;
  }

  /** Who the server says this is; null before the first welcome. */
  get user() {
    return this.#welcome?.user ?? null;
  }

  /** The session's id, kept over reconnects. */
  get session() {
    return this.#welcome?.session ?? null;
  }

  /** The node this client is or was connected to. */
  get node() {
    return this.#welcome?.node ?? null;
  }

  /** The limits the server announced. */
  get limits() {
    return this.#welcome?.limits ?? {};
  }

  /** When the token ends (milliseconds since the epoch), or null. */
  get expiresAt() {
    return this.#expiresAt;
  }

  /** When the next attempt to connect is due, or null. */
  get retryAt() {
    return this.#retryAt;
  }

  /** `{epoch, seq}`: the highest direct message received (at first: the last one seen). */
  get inbox() {
    return { ...this.#inbox };
  }

  /** name → Room, of those joined or wanted. */
  get rooms() {
    return this.#rooms;
  }

  /** Last known state of watched users. */
  get online() {
    return this.#online;
  }

  /** Writes not yet acknowledged. */
  get queued() {
    return this.#outbox.size;
  }

  /** Connects, and stays connected until `close`. Returns this client. */
  connect() {
    if (this.#state !== "disconnected") return this;
    this.#attempt = 0;
    this.#refusals = 0;
    this.#notBefore = 0;
    this.#listenToNetwork();
    this.#setState("connecting");
    this.#open();
    return this;
  }

  /** Resolves once connected; rejects when the client gives up. */
  ready() {
    if (this.#state === "connected") return Promise.resolve(this);
    if (this.#state === "disconnected") return Promise.reject(disconnectedError());
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Tries again at once instead of waiting out the backoff (unless the server asked for the wait). */
  reconnectNow() {
    if (this.#retryAt === null) return;
    clearTimeout(this.#retryTimer);
    const wait = this.#notBefore - Date.now();
    if (wait > 0) this.#retryTimer = setTimeout(() => this.#open(), wait);
    else this.#open();
  }

  /** Ends the connection. What was not acknowledged is rejected; `connect` starts again. */
  close() {
    if (this.#state === "disconnected") return;
    const socket = this.#detach();
    this.#giveUp(1000, "client");
    socket?.close(1000);
  }

  /**
   * Joins a room, and joins it again after every reconnect. Returns at once;
   * see `Room.ready`. The room joined already, where there is one.
   *
   * @param {string} name
   * @param {{history?: number, since?: {epoch: string, seq: number}}} [options]
   *   `history`: the newest entries to begin with; `since`: a position to resume from
   * @returns {Room}
   */
  join(name, options) {
    const known = this.#rooms.get(name);
    if (known) return known;
    const room = new Room(name, options, {
      user: () => this.user,
      write: (lane, message, nonce) => this.#write(lane, message, nonce),
      cast: (message) => this.#cast(message),
      request: (message) => this.#request(message),
      found: (lane, nonces) => this.#outbox.acknowledgeByNonce(lane, nonces),
      leave: (leaving) => this.#leave(leaving),
    });
    this.#rooms.set(name, room);
    if (this.#state === "connected") this.#sendJoin(room);
    return room;
  }

  /**
   * Sends a direct message: a text, or `{event, data}`. Resolves once it is in
   * the recipient's inbox.
   */
  direct(to, content, { nonce } = {}) {
    const body = typeof content === "string" ? { content } : { event: content.event, data: content.data ?? null };
    return this.#write(`@${to}`, { type: "direct", to, ...body }, nonce);
  }

  /**
   * Marks direct messages up to a position as seen: they will not come again. A
   * position is a direct message, or `{epoch, seq}`; a `seq` alone is one of `inbox.epoch`.
   */
  async seen(position) {
    const { seq, epoch = this.#inbox.epoch } = typeof position === "object" ? position : { seq: position };
    await this.#request({ type: "seen", ...(epoch !== null && { epoch }), seq });
  }

  /** Sets the own presence in every joined room; kept over reconnects. */
  async status(status, meta) {
    this.#ownStatus = { type: "status", status, meta };
    await this.#request(this.#ownStatus);
  }

  /** Follows users' online state, over reconnects too. Resolves with user → status. */
  async watch(users) {
    for (const user of users) this.#watched.add(user);
    const reply = await this.#request({ type: "watch", users: [...users] });
    return new Map(Object.entries(reply.users ?? {}));
  }

  /** Ends `watch` for these users. */
  async unwatch(users) {
    for (const user of users) {
      this.#watched.delete(user);
      this.#online.delete(user);
    }
    await this.#request({ type: "unwatch", users: [...users] });
  }

  /** Hands the server a new token of the same user, before the old one ends. */
  async refresh(token) {
    const reply = await this.#request({ type: "refresh", token });
    this.#token = token;
    if (this.#transport === "events" && this.#socket) this.#socket.token = token;
    this.#expiresAt = reply.expires_at ?? null;
  }

  // -- connecting --

  async #open() {
    const generation = ++this.#generation;
    this.#retryAt = null;
    let token;
    try {
      token = await this.#tokenForConnect();
    } catch (error) {
      if (generation === this.#generation) this.#tokenFailed(error);
      return;
    }
    if (generation !== this.#generation) return;

    let socket;
    try {
      socket = this.#transport === "events" ? this.#openEvents(token) : this.#openSocket(token);
    } catch (cause) {
      // Thrown for what no retry mends: a token or an address that cannot be sent.
      if (this.#fallsBack()) return void this.#fallBack();
      this.#giveUp(1006, "bad_request");
      this[emit]("error", new RookeryError("connection_closed", `cannot open a connection: ${cause.message}`, { cause }));
      return;
    }
    this.#closing = null;
    this.#use(socket);
    this.#connectTimer = setTimeout(() => this.#abandon("connect_timeout"), this.#options.connectTimeoutMs);
  }

  #openSocket(token) {
    const url = new URL(this.#url);
    if (this.session) url.searchParams.set("session", this.session);
    return new this.#WebSocket(url.href, token ? [SUBPROTOCOL, `bearer.${token}`] : [SUBPROTOCOL]);
  }

  #openEvents(token) {
    const url = eventsEndpoint(this.#options.eventsUrl, this.#url);
    if (this.session) url.searchParams.set("session", this.session);
    url.searchParams.set("ids", "none"); // the rooms know their places
    return new EventStream(url, { token, fetch: this.#fetch, patience: this.#options.requestTimeoutMs });
  }

  #use(socket) {
    this.#socket = socket;
    socket.onmessage = (event) => this.#heard(event.data);
    socket.onlife = () => this.#alive();
    socket.onclose = (event) => this.#lost(event.code, event.reason);
    socket.onerror = ignore; // a close follows, and says more
  }

  async #tokenForConnect() {
    if (typeof this.#options.token !== "function") return this.#token;
    if (this.#expiresAt !== null && this.#expiresAt <= Date.now()) this.#tokenReason ??= "expired";
    if (this.#tokenReason !== null) {
      this.#token = await this.#askForToken(this.#tokenReason);
      this.#tokenReason = null;
      this.#expiresAt = null;
    }
    return this.#token;
  }

  async #askForToken(reason) {
    try {
      return (await this.#options.token({ reason, user: this.user })) ?? null;
    } catch (cause) {
      if (cause instanceof RookeryError) throw cause;
      throw new RookeryError("token_failed", `no token: ${cause?.message ?? cause}`, { cause });
    }
  }

  #tokenFailed(error) {
    if (error.code === "unauthorized") this.#giveUp(1006, "unauthorized");
    else this.#retry(1006, "token_failed", this.#nextDelay());
    this[emit]("error", error);
  }

  #welcomed(message) {
    clearTimeout(this.#connectTimer);
    this.#welcome = message;
    this.#welcomedAt = Date.now();
    this.#refusals = 0;
    this.#notBefore = 0;
    if (this.#transport === "events") {
      this.#planSocket();
    } else {
      this.#socketFailures = 0;
      this.#socketRetries = 0;
    }
    this.#expiresAt = message.expires_at ?? null;
    if (message.inbox && message.inbox.epoch !== this.#inbox.epoch) {
      this.#inbox = { epoch: message.inbox.epoch, seq: message.inbox.seq };
    }
    this.#watchLife();
    // What listeners of the new state ask for is sent as they ask; this is what waited before.
    const rooms = [...this.#rooms.values()];
    const requests = [...this.#requests.values()];
    this.#setState("connected");
    for (const { resolve } of this.#waiting.splice(0)) resolve(this);

    for (const room of rooms) if (this.#rooms.get(room.name) === room) this.#sendJoin(room);
    for (const request of requests) this.#send(request.message);
    if (this.#ownStatus && !this.#isPending("status")) this.#send(this.#ownStatus);
    if (this.#watched.size > 0 && !this.#isPending("watch")) this.#send({ type: "watch", users: [...this.#watched] });
    this.#outbox.flushAll();
  }

  #isPending(type) {
    return [...this.#requests.values()].some(({ message }) => message.type === type);
  }

  // -- by which transport --

  #firstTransport() {
    const { transport = "auto" } = this.#options;
    if (!["auto", "websocket", "events"].includes(transport)) {
      throw new TypeError(`options.transport is "auto", "websocket" or "events", not ${transport}`);
    }
    const wanted = transport === "auto" && !this.#WebSocket && this.#fetch ? "events" : transport;
    if (wanted === "events" && !this.#fetch) throw new TypeError("no fetch here: pass one as options.fetch");
    if (wanted !== "events" && !this.#WebSocket) {
      throw new TypeError("no WebSocket here: pass one as options.WebSocket");
    }
    return wanted === "events" ? "events" : "websocket";
  }

  #mayChoose() {
    return (this.#options.transport ?? "auto") === "auto" && this.#WebSocket && this.#fetch;
  }

  /** Does an attempt by events come after this one by a WebSocket, which no retry mends? */
  #fallsBack() {
    return this.#mayChoose() && this.#transport === "websocket" && this.#socketFailures === 0;
  }

  #fallBack() {
    this.#socketFailures = FAILURES_BEFORE_EVENTS;
    this.#transport = "events";
    return this.#open();
  }

  /**
   * An attempt came to nothing. Whether that is for the sake of WebSockets is
   * known only where the other way works; until one does, both take turns.
   */
  #chooseAfterFailure() {
    if (!this.#mayChoose()) return;
    if (this.#transport === "events") {
      this.#transport = "websocket";
    } else {
      this.#socketFailures += 1;
      if (this.#socketFailures >= FAILURES_BEFORE_EVENTS) this.#transport = "events";
    }
  }

  /** Events serve: a WebSocket is tried now and then, beside them. */
  #planSocket() {
    clearTimeout(this.#socketTimer);
    if (!this.#mayChoose()) return;
    const wait = Math.min(MAX_SOCKET_RETRY_MS, this.#options.socketRetryMs * 2 ** Math.min(this.#socketRetries, 10));
    this.#socketRetries += 1;
    this.#socketTimer = setTimeout(() => this.#trySocket(), wait * (0.75 + Math.random() / 2));
  }

  /**
   * It claims the session, and with its `welcome` takes the place of the events;
   * the rooms resume as after any loss. Where none comes, nothing has changed.
   */
  async #trySocket() {
    const generation = this.#generation;
    let candidate;
    try {
      const token = await this.#tokenForConnect();
      if (generation !== this.#generation || this.#state !== "connected") return;
      candidate = this.#openSocket(token);
    } catch {
      if (generation === this.#generation) this.#planSocket();
      return;
    }
    this.#candidate = candidate;
    const fail = () => {
      if (this.#candidate !== candidate) return;
      const replaced = this.#socket === null;
      this.#dropCandidate();
      // It had the session by then, or the events have ended meanwhile.
      if (replaced) this.#retry(1006, "", this.#nextDelay());
      else this.#planSocket();
    };
    this.#connectTimer = setTimeout(fail, this.#options.connectTimeoutMs);
    candidate.onerror = ignore;
    candidate.onclose = fail;
    candidate.onmessage = (event) => {
      const events = this.#detach();
      this.#candidate = null;
      this.#generation += 1;
      events?.close();
      this.#loseRooms("transport");
      this.#setState("connecting", 1000, "transport");
      if (this.#state !== "connecting") return candidate.close(1000); // a listener closed
      this.#transport = "websocket";
      this.#use(candidate);
      this.#heard(event.data);
    };
  }

  #dropCandidate() {
    const candidate = this.#candidate;
    this.#candidate = null;
    clearTimeout(this.#connectTimer);
    if (!candidate) return;
    candidate.onopen = candidate.onmessage = candidate.onclose = candidate.onerror = ignore;
    candidate.close();
  }

  // -- losing the connection --

  /** The connection ended, or never came to be. */
  #lost(code, reason) {
    const closing = this.#closing;
    const welcomed = this.#welcomedAt > 0;
    const overtaken = this.#candidate !== null;
    this.#detach({ keepCandidate: overtaken });
    // The WebSocket that is being tried has the session now, or says that it has not.
    if (overtaken) return;
    // Where the close frame was lost on the way, its announcement stands in for it.
    if (code === 1006 && closing) reason = closing.reason;

    let advice = closeAdvice(code, reason);
    if (closing?.reconnect === true && advice === "stay" && !ADVICE_BY_REASON.has(reason)) advice = "reconnect";
    if (closing?.reconnect === false && advice === "reconnect") advice = "stay";

    if (!welcomed) {
      this.#chooseAfterFailure();
      this.#refusals += 1;
      if (this.#refusals % REFUSALS_BEFORE_NEW_TOKEN === 0) this.#tokenReason ??= "refused";
    }

    if (advice === "fix") {
      const error = new RookeryError(reason || "connection_closed", `the server refused what this client sent (${code})`, {
        closeCode: code,
        reason,
      });
      if (code === 1009) this.#outbox.rejectLargestSent(error);
      this.#giveUp(code, reason);
      this[emit]("error", error);
    } else if (advice === "stay") {
      this.#giveUp(code, reason);
    } else if (advice === "renew" && typeof this.#options.token !== "function") {
      this.#giveUp(code, reason);
      this[emit]("error", new RookeryError(reason, "the token is no longer good, and there is no callback to get another", { closeCode: code, reason }));
    } else {
      if (advice === "renew") this.#tokenReason = reason === "token_revoked" ? "revoked" : "expired";
      const asked = closing?.after_ms ?? 0;
      let delay = asked > 0 ? asked : this.#nextDelay();
      if (advice === "slow") delay = Math.max(asked, SLOW_MS + backoffDelay(this.#attempt, SLOW_MS, this.#options.maxDelayMs));
      this.#notBefore = advice === "slow" || asked > 0 ? Date.now() + delay : 0;
      this.#retry(code, reason, delay);
    }
  }

  #nextDelay() {
    const { minDelayMs, maxDelayMs } = this.#options;
    const delay = backoffDelay(this.#attempt, minDelayMs, maxDelayMs);
    this.#attempt += 1;
    // The browser may be wrong about being offline, so keep trying, but rarely; its `online` event cuts this short.
    return globalThis.navigator?.onLine === false ? maxDelayMs : delay;
  }

  #retry(code, reason, delay) {
    this.#retryAt = Date.now() + delay;
    this.#retryTimer = setTimeout(() => this.#open(), delay);
    this.#loseRooms(reason);
    this.#setState("connecting", code, reason);
  }

  /** Nothing comes back by itself any more: what waits is told so. */
  #giveUp(code, reason) {
    this.#generation += 1;
    this.#retryAt = null;
    clearTimeout(this.#retryTimer);
    this.#dropCandidate();
    this.#unlistenToNetwork();
    this.#loseRooms(reason);
    const error = disconnectedError(code, reason);
    this.#outbox.rejectAll(error);
    for (const request of [...this.#requests.values()]) this.#settle(request).reject(error);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#setState("disconnected", code, reason); // last: a listener may connect again
  }

  #loseRooms(reason) {
    this.#outbox.interrupt();
    for (const request of [...this.#requests.values()]) {
      // The lost connection has left already; a `leave` sent later could undo a join made since.
      if (request.message.type === "leave") this.#settle(request).resolve();
    }
    for (const room of [...this.#rooms.values()]) room[lose](reason);
  }

  /** Takes the socket out of use; nothing it says from here on counts. */
  #detach({ keepCandidate = false } = {}) {
    const socket = this.#socket;
    this.#socket = null;
    this.#closing = null;
    if (!keepCandidate) clearTimeout(this.#connectTimer);
    clearTimeout(this.#socketTimer);
    clearTimeout(this.#lifeTimer);
    clearTimeout(this.#probeTimer);
    this.#probeTimer = undefined;
    if (this.#welcomedAt > 0 && Date.now() - this.#welcomedAt >= STABLE_MS) this.#attempt = 0;
    this.#welcomedAt = 0;
    if (socket) socket.onopen = socket.onmessage = socket.onlife = socket.onclose = socket.onerror = ignore;
    return socket;
  }

  /** Gives up a connection that does not answer, without waiting for its close. */
  #abandon(reason) {
    const socket = this.#socket;
    this.#lost(1006, reason);
    socket?.close();
  }

  // -- liveness --

  // Browsers cannot send Ping frames nor see those of the server, so silence is
  // answered with a `ping` message, and silence after that means it is dead.
  #watchLife() {
    const { interval_ms: interval } = this.#heartbeat();
    // A stream of events shows its heartbeats; only where one is late is there silence.
    const quiet = this.#transport === "events" ? 1.5 * interval : interval;
    const due = this.#lastHeard + quiet - Date.now();
    clearTimeout(this.#lifeTimer);
    if (due > 0) this.#lifeTimer = setTimeout(() => this.#watchLife(), due);
    else this.#probe(this.#heartbeat().timeout_ms);
  }

  #heartbeat() {
    return this.#welcome?.heartbeat ?? HEARTBEAT;
  }

  #probe(timeout) {
    if (this.#state !== "connected" || this.#probeTimer) return;
    this.#send({ type: "ping" });
    this.#probeTimer = setTimeout(() => this.#abandon("heartbeat_timeout"), timeout);
  }

  #hint = (event) => {
    if (event.type === "visibilitychange" && globalThis.document?.visibilityState === "hidden") return;
    if (event.type !== "offline") this.reconnectNow();
    this.#probe(Math.min(PROBE_MS, this.#heartbeat().timeout_ms));
  };

  #listenToNetwork() {
    const { networkEvents } = this.#options;
    const page = networkEvents ?? (typeof globalThis.addEventListener === "function" ? globalThis : null);
    const document = networkEvents ?? globalThis.document;
    this.#network = [
      [page, "online"],
      [page, "offline"],
      [page, "pageshow"],
      [document, "visibilitychange"],
    ].filter(([target]) => target);
    for (const [target, name] of this.#network) target.addEventListener(name, this.#hint);
  }

  #unlistenToNetwork() {
    for (const [target, name] of this.#network ?? []) target.removeEventListener(name, this.#hint);
    this.#network = null;
  }

  // -- sending --

  /** Hands a message to the socket; false where there is no connection. */
  #send(message) {
    if (this.#state !== "connected" || this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Sends what only counts now, or drops it. */
  #cast(message) {
    return !(this.#socket?.bufferedAmount > MAX_BUFFERED_BYTES) && this.#send(message);
  }

  #write(lane, body, nonce = createNonce()) {
    if (this.#state === "disconnected") return Promise.reject(disconnectedError());
    const message = { ...body, id: this.#nextId++, nonce };
    const limit = this.limits.message_bytes;
    if (limit !== undefined) {
      // Sent anyway, it would cost the connection (1009).
      const bytes = new TextEncoder().encode(JSON.stringify(message)).length;
      if (bytes > limit) {
        return Promise.reject(new RookeryError("too_large", `the message has ${bytes} bytes, at most ${limit} are allowed`, { room: body.room }));
      }
    }
    return this.#outbox.add(lane, message);
  }

  /** Sends and waits for the answer; over a reconnect it is sent again, so only for what may be repeated. */
  #request(body) {
    return new Promise((resolve, reject) => {
      if (this.#state === "disconnected") return reject(disconnectedError());
      if (this.#requests.size >= this.#options.maxQueued) {
        return reject(new RookeryError("queue_full", `${this.#requests.size} requests are waiting for an answer already`));
      }
      const message = { ...body, id: this.#nextId++ };
      const timer = setTimeout(() => {
        this.#settle(request).reject(new RookeryError("timeout", `no answer to ${body.type}`, { room: body.room }));
      }, this.#options.requestTimeoutMs);
      const request = { message, resolve, reject, timer, retry: undefined };
      this.#requests.set(message.id, request);
      this.#send(message);
    });
  }

  #settle(request) {
    clearTimeout(request.timer);
    clearTimeout(request.retry);
    this.#requests.delete(request.message.id);
    return request;
  }

  #sendJoin(room) {
    this.#send(room[expectJoin](this.#nextId++));
  }

  async #leave(room) {
    if (this.#rooms.get(room.name) !== room) return;
    this.#rooms.delete(room.name);
    room[depart]();
    this.#outbox.reject(room.name, new RookeryError("left", `the room ${room.name} was left`, { room: room.name }));
    if (this.#state === "connected") await this.#request({ type: "leave", room: room.name });
  }

  #dismiss(room, error) {
    this.#rooms.delete(room.name);
    room[depart](error);
    this.#outbox.reject(room.name, error);
  }

  // -- receiving --

  #alive() {
    this.#lastHeard = Date.now();
    if (this.#probeTimer) {
      clearTimeout(this.#probeTimer);
      this.#probeTimer = undefined;
      this.#watchLife();
    }
  }

  #heard(data) {
    this.#alive();
    let message;
    try {
      message = JSON.parse(data);
    } catch (cause) {
      this[emit]("error", new RookeryError("bad_json", "the server sent what is not JSON", { cause }));
    }
    if (typeof message === "object" && message !== null) this.#dispatch(message);
  }

  #dispatch(message) {
    switch (message.type) {
      case "welcome":
        return this.#welcomed(message);
      case "ack":
        return this.#acknowledged(message);
      case "error":
        return this.#refused(message);
      case "left":
        return this.#leftRoom(message);
      case "members":
      case "history":
      case "refreshed":
        return this.#answered(message);
      case "online":
        return this.#sawOnline(message);
      case "direct":
        return this.#gotDirect(message);
      case "closing":
        this.#closing = message;
        return this[emit]("closing", { reason: message.reason, reconnect: message.reconnect, afterMs: message.after_ms });
      case "reauthenticate":
        this[emit]("reauthenticate", { expiresAt: message.expires_at, inMs: message.in_ms });
        return void this.#renew(message.in_ms);
      default:
        return this.#toRoom(message);
    }
  }

  #toRoom(message) {
    const room = this.#rooms.get(message.room);
    if (!room) return;
    room[receive](message);
    if (room.state === "joined" && (message.type === "joined" || message.type === "state")) this.#outbox.flush(room.name);
  }

  #acknowledged(message) {
    if (this.#outbox.has(message.id)) this.#outbox.acknowledge(message.id, message);
    else this.#answered(message);
  }

  #answered(message) {
    const request = this.#requests.get(message.id);
    if (request) this.#settle(request).resolve(message);
  }

  #refused(message) {
    const error = errorFromServer(message);
    if (this.#outbox.has(message.id)) {
      return this.#outbox.refuse(message.id, error, (name) => this.#rejoin(name));
    }
    const request = this.#requests.get(message.id);
    const passing = error.code === "rate_limited" || error.code === "unavailable";
    const wait = (error.retryAfterMs ?? 500) + Math.random() * 250;
    if (request && passing) {
      request.retry = setTimeout(() => this.#send(request.message), wait);
      return;
    }
    if (request) {
      this.#settle(request).reject(error);
      return;
    }
    const room = [...this.#rooms.values()].find((candidate) => candidate[joinPending](message.id));
    if (room && passing) {
      const generation = this.#generation;
      setTimeout(() => {
        if (generation === this.#generation && this.#rooms.get(room.name) === room) this.#sendJoin(room);
      }, wait);
    } else if (room) {
      this.#dismiss(room, error);
    } else {
      if (error.code === "rate_limited") this.#outbox.pause(error.retryAfterMs);
      const named = this.#rooms.get(message.room);
      if (named) named[receive](message);
      else this[emit]("error", error);
    }
  }

  #rejoin(name) {
    const room = this.#rooms.get(name);
    if (!room) return;
    room[lose]("not_joined");
    this.#sendJoin(room);
  }

  #leftRoom(message) {
    if (message.id !== undefined) return this.#answered(message);
    const room = this.#rooms.get(message.room);
    if (room) this.#dismiss(room, new RookeryError("left", `the server ended the membership in ${room.name}`, { room: room.name }));
  }

  #sawOnline(message) {
    const users = new Map(Object.entries(message.users ?? {}));
    for (const [user, status] of users) if (this.#watched.has(user)) this.#online.set(user, status);
    this[emit]("online", users);
    this.#answered(message);
  }

  #gotDirect(message) {
    if (Number.isSafeInteger(message.seq)) {
      const epoch = message.epoch ?? this.#inbox.epoch;
      // Unseen ones come again with every connection. In another epoch, positions begin anew.
      if (epoch === this.#inbox.epoch && message.seq <= this.#inbox.seq) return;
      this.#inbox = { epoch, seq: message.seq };
    }
    this[emit]("direct", message);
  }

  /** Gets and hands over a new token while the old one still holds. */
  async #renew(inMs) {
    if (typeof this.#options.token !== "function") return;
    const generation = this.#generation;
    const deadline = Date.now() + inMs;
    const pause = Math.max(1_000, inMs / 5);
    while (generation === this.#generation && this.#state === "connected") {
      try {
        const token = await this.#askForToken("refresh");
        if (generation !== this.#generation) return;
        if (token) await this.refresh(token);
        return;
      } catch (error) {
        if (generation !== this.#generation || error.code === "disconnected") return;
        this[emit]("error", error);
        // A token of somebody else, say: it cannot take over here, and at the end of the old one we ask anew.
        if (error.code === "token_rejected" || error.code === "unauthorized" || Date.now() + pause >= deadline) return;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  #setState(state, code, reason) {
    const previous = this.#state;
    this.#state = state;
    this[emit]("state", { state, previous, code, reason, retryAt: this.#retryAt });
  }
}

const ignore = () => {};

const disconnectedError = (code, reason) =>
  new RookeryError("disconnected", reason ? `the client is disconnected (${reason})` : "the client is disconnected", {
    closeCode: code,
    reason,
  });

function eventsEndpoint(url, socketUrl) {
  const beside = new URL(url ?? "events", socketUrl);
  beside.protocol = beside.protocol.replace(/^ws/, "http");
  if (url === undefined) beside.search = socketUrl.search;
  return beside;
}

function endpoint(url) {
  const resolved = new URL(url ?? "/ws", globalThis.location?.href);
  resolved.protocol = resolved.protocol.replace(/^http/, "ws");
  resolved.hash = "";
  return resolved;
}
