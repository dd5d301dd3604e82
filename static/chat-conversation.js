/**
 * What the page knows about one conversation, apart from how it looks.
 *
 * A key is `#name` for a room and `@user` for direct messages.
 */

import { recall, remember } from "./chat-identity.js";

/** Entries kept of one conversation; older ones of a room are loaded again when scrolled to. */
export const MAX_ENTRIES = 1_000;
/** How many are let go at once when that is passed. */
const TRIMMED = 200;
/** Direct messages have no history on the server once seen; this many of each are kept over a reload. */
const MAX_KEPT_DIRECTS = 200;
/** Own messages on their way that survive a reload. */
const MAX_KEPT_OUTGOING = 100;

/**
 * An entry: `{kind: "chat" | "event" | "set", user, mine, at, text, seq, …}`.
 * An outgoing one: `{nonce, text, at, state: "sending" | "sent" | "failed", error}`.
 */
export class Conversation {
  /** In the order of the log. */
  entries = [];
  /** Own messages not yet seen in the log. */
  outgoing = [];
  unread = 0;
  /** The position up to which everything was read; null in a room never visited. */
  read = null;
  /** Where the line "New" stands: before the first entry unread when it was opened. */
  freshFrom = null;
  /** Does the log go on before the first entry? */
  hasEarlier = false;
  draft = "";

  constructor(key) {
    this.key = key;
    this.isRoom = key.startsWith("#");
    this.name = key.slice(1);
    this.draft = recall("drafts", {})[key] ?? "";
    const sent = recall("outgoing", []).filter((message) => message.key === key);
    this.outgoing = sent.map(({ nonce, text, at }) => ({ nonce, text, at, state: "sending" }));
    if (this.isRoom) {
      this.read = recall("read", {})[this.name] ?? null;
    } else {
      this.entries = recall("directs", {})[this.name] ?? [];
      this.unread = this.entries.filter((entry) => entry.unseen).length;
    }
  }

  /** Adds a log message of a room; the entry, or null where it is of no interest here. */
  addLogged(message, me) {
    const entry = entryOf(message, me);
    if (!entry) return null;
    if (message.nonce) this.takeOutgoing(message.nonce);
    this.entries.push(entry);
    return entry;
  }

  /** Puts a page of older messages before the others. */
  addEarlier(messages, more, me) {
    const first = this.entries[0]?.seq ?? Infinity;
    const older = messages.filter((message) => message.seq < first).map((message) => entryOf(message, me));
    this.entries.unshift(...older.filter((entry) => entry));
    this.hasEarlier = more;
  }

  /** Lets the oldest go where there are too many. True where any went. */
  trim() {
    if (this.entries.length <= MAX_ENTRIES) return false;
    this.entries.splice(0, TRIMMED);
    this.hasEarlier = this.isRoom;
    return true;
  }

  /** Puts the line "New" before the first unread entry. */
  markFresh() {
    this.freshFrom = this.unread > 0 ? (this.entries.filter(({ mine }) => !mine).at(-this.unread) ?? null) : null;
  }

  clear() {
    this.entries = [];
    this.unread = 0;
    this.freshFrom = null;
  }

  /** Begins an own message. */
  begin(nonce, text) {
    const message = { nonce, text, at: Date.now(), state: "sending" };
    this.outgoing.push(message);
    return message;
  }

  findOutgoing(nonce) {
    return this.outgoing.find((message) => message.nonce === nonce);
  }

  takeOutgoing(nonce) {
    const index = this.outgoing.findIndex((message) => message.nonce === nonce);
    return index < 0 ? null : this.outgoing.splice(index, 1)[0];
  }

  /** Everything shown has been read. */
  markRead(position) {
    this.unread = 0;
    if (this.isRoom) {
      this.read = position;
      remember("read", { ...recall("read", {}), [this.name]: position });
    } else {
      for (const entry of this.entries) delete entry.unseen;
      this.keepDirects();
    }
  }

  /** Is this direct message here already? */
  hasDirect(epoch, seq) {
    return this.entries.some((entry) => entry.seq === seq && entry.epoch === epoch);
  }

  /** The lowest inbox position not seen yet, of this life of the inbox. */
  firstUnseen(epoch) {
    return this.entries.find((entry) => entry.unseen && entry.epoch === epoch)?.seq ?? Infinity;
  }

  /**
   * The server's copy of an own direct message. True where it was written
   * here; else another tab wrote it. The copy carries no `seq` to tell.
   */
  matchCopy({ nonce, content }) {
    const written =
      this.outgoing.find((message) => !message.copied && (nonce ? message.nonce === nonce : message.text === content)) ??
      this.entries.find(({ awaitsCopy, text }) => awaitsCopy && text === content);
    if (!written) return false;
    written.copied = true;
    delete written.awaitsCopy;
    return true;
  }

  keepDirects() {
    const kept = recall("directs", {});
    kept[this.name] = this.entries.slice(-MAX_KEPT_DIRECTS);
    remember("directs", kept);
  }

  forgetDirects() {
    const { [this.name]: _, ...others } = recall("directs", {});
    remember("directs", others);
  }

  keepDraft(draft) {
    if (draft === this.draft) return;
    this.draft = draft;
    const { [this.key]: _, ...others } = recall("drafts", {});
    remember("drafts", draft ? { ...others, [this.key]: draft } : others);
  }
}

/** Keeps the messages on their way; sent again after a reload with the same nonce, they are still appended once. */
export function keepOutgoing(conversations) {
  const all = conversations.flatMap(({ key, outgoing }) =>
    outgoing.filter(({ state }) => state === "sending").map(({ nonce, text, at }) => ({ key, nonce, text, at })),
  );
  remember("outgoing", all.slice(-MAX_KEPT_OUTGOING));
}

function entryOf(message, me) {
  const { seq, user, timestamp: at } = message;
  const entry = { kind: message.type, seq, user, at, mine: user === me };
  switch (message.type) {
    case "chat":
      return { ...entry, text: message.content };
    case "event":
      return { ...entry, event: message.event, data: message.data };
    case "set":
      return message.key === "topic" ? { ...entry, value: message.value } : null;
    default:
      return null;
  }
}
