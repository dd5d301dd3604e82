/**
 * One person's stay on the page: the client, the conversations, what is read
 * and what is on its way. It knows no elements; what changed it tells the
 * screen (chat-screen.js).
 *
 * In reading order: conversations, rooms, direct messages, sending, people.
 */

import { Rookery, createNonce } from "./rookery.js";
import { recall, remember } from "./chat-identity.js";
import { Conversation, keepOutgoing } from "./chat-conversation.js";

/** Messages asked for at once. */
const PAGE = 50;
/** Display names remembered, the newest of them. */
const MAX_NAMES = 1_000;

export class ChatSession {
  /** key → Conversation, in the order of the lists. */
  conversations = new Map();
  /** The conversation shown, or null. */
  current = null;
  #identity;
  #screen;
  #client;
  #names = new Map(recall("names", []));
  #seenSent = { epoch: null, seq: 0 };
  #ended = false;

  /**
   * @param {import("./chat-identity.js").Identity} identity
   * @param {import("./chat-screen.js").Screen} screen
   */
  constructor(identity, screen) {
    this.#identity = identity;
    this.#screen = screen;
    this.#client = new Rookery(undefined, { token: (request) => identity.token(request) });
    this.#client.on("state", (change) => {
      this.#nameSelf();
      if (!this.#ended) screen.drawConnection(change);
    });
    this.#client.on("direct", (message) => this.#gotDirect(message));
    this.#client.on("online", () => screen.drawPlaces());
    this.#client.on("error", (error) => error.code === "unauthorized" && screen.leave(error.message));
    this.#nameSelf();
  }

  /** Connects, and opens what is to be opened: the rooms wanted, and what was open before a reload. */
  start(rooms, first) {
    this.#client.connect();
    const kept = [...recall("open", []), ...Object.keys(recall("directs", {})).map((user) => `@${user}`)];
    for (const key of [...rooms.map((name) => `#${name}`), ...kept]) this.open(key);
    const shown = this.conversations.get(first) ?? this.conversations.get(recall("current", null));
    this.show(shown ?? this.conversations.values().next().value);
    for (const conversation of this.conversations.values()) {
      for (const message of [...conversation.outgoing]) this.deliver(conversation, message);
    }
  }

  end() {
    this.#ended = true;
    this.#client.close();
  }

  /** Who this is, as far as known yet. */
  get user() {
    return this.#client.user ?? this.#identity.user;
  }

  /** The client's own state, and what the page shows of it. */
  get state() {
    return this.#client.state;
  }

  get retryAt() {
    return this.#client.retryAt;
  }

  get hadConnection() {
    return this.#client.session !== null;
  }

  /** Tries to connect now. */
  hurry() {
    if (this.#client.state === "disconnected") this.#client.connect();
    else this.#client.reconnectNow();
  }

  // -- conversations --

  /** The conversation of this key, joined or watched from now on if it was not. */
  open(key) {
    let conversation = this.conversations.get(key);
    if (!conversation) {
      conversation = new Conversation(key);
      this.conversations.set(key, conversation);
      if (conversation.isRoom) this.#join(conversation);
      else this.#client.watch([conversation.name]).catch(ignore);
      this.#keepOpen();
    }
    return conversation;
  }

  close(conversation) {
    this.conversations.delete(conversation.key);
    this.#keepOpen();
    if (conversation.isRoom) {
      conversation.room.leave().catch(ignore);
    } else {
      conversation.forgetDirects();
      this.#client.unwatch([conversation.name]).catch(ignore);
    }
    if (this.current === conversation) this.show(this.conversations.values().next().value);
    this.#screen.drawPlaces();
  }

  show(conversation = null) {
    if (this.current === conversation) return;
    if (this.current) this.current.freshFrom = null;
    this.current?.room?.typing(false);
    this.current = conversation;
    remember("current", conversation?.key ?? null);
    conversation?.markFresh();
    this.#screen.drawConversation();
    this.read();
    if (this.#screen.isShort) this.loadEarlier();
  }

  /** Shows the next conversation in the order of the lists, or the one before. */
  step(by) {
    const all = [...this.conversations.values()];
    if (all.length > 0) this.show(all[(all.indexOf(this.current) + by + all.length) % all.length]);
  }

  /** What is in sight counts as read. */
  read() {
    const conversation = this.current;
    if (!conversation || conversation.unread === 0 || !this.#screen.isReading) return;
    const { room } = conversation;
    conversation.markRead(room && { epoch: room.epoch, seq: room.seq });
    if (!room) this.#tellSeen();
    this.#screen.drawPlaces();
  }

  /** Unread messages, of all conversations or of the others. */
  unread({ elsewhere = false } = {}) {
    let total = 0;
    for (const conversation of this.conversations.values()) {
      if (!elsewhere || conversation !== this.current) total += conversation.unread;
    }
    return total;
  }

  #keepOpen() {
    remember("open", [...this.conversations.keys()]);
  }

  // -- rooms --

  #join(conversation) {
    const screen = this.#screen;
    const room = (conversation.room = this.#client.join(conversation.name, { history: PAGE }));
    const shown = () => conversation === this.current;
    room.on("joined", ({ recovered, epoch, seq }) => {
      if (!recovered) {
        conversation.clear();
        conversation.hasEarlier = seq > 0;
      }
      if (!conversation.read) conversation.markRead({ epoch, seq });
      screen.drawPlaces();
      if (shown()) screen.drawLog();
    });
    room.on("message", (message, { replayed }) => this.#logged(conversation, message, replayed));
    room.on("presence", ({ joined, updated }) => {
      const learned = this.#learnNames([...joined, ...updated]);
      if (shown() && conversation.entries.some(({ user }) => learned.has(user))) screen.drawLog();
      screen.drawPresence();
    });
    room.on("state", () => shown() && screen.drawHead());
    room.on("typing", () => shown() && screen.drawTyping());
    room.on("left", ({ reason }) => reason !== "client" && this.conversations.has(conversation.key) && this.close(conversation));
    room.on("error", (error) => screen.drawProblem(`#${conversation.name}: ${error.message}`));
  }

  #logged(conversation, message, replayed) {
    const { room, read } = conversation;
    const entry = conversation.addLogged(message, this.user);
    if (conversation.entries[0]?.seq === 1) conversation.hasEarlier = false;
    if (message.nonce) this.#keepOutgoing();
    if (!entry) return;
    const isRead = read?.epoch === room.epoch && message.seq <= read.seq;
    if (!isRead && !entry.mine) conversation.unread += 1;
    // Who writes has read what stands above.
    if (!isRead && entry.mine && conversation.unread === 0) conversation.markRead({ epoch: room.epoch, seq: message.seq });
    this.#added(conversation, entry, replayed);
  }

  /** A new entry is in its conversation: shown, counted, and perhaps read already. */
  #added(conversation, entry, replayed = false) {
    const shown = conversation === this.current;
    // Entries in sight stay; further up they make room.
    const trimmed = (!shown || this.#screen.isAtEnd) && conversation.trim();
    if (shown && (replayed || trimmed)) this.#screen.drawLog();
    else if (shown) this.#screen.append(entry);
    if (shown) this.read();
    this.#screen.drawPlaces();
  }

  /** Fetches the page before the first entry shown. */
  async loadEarlier() {
    const conversation = this.current;
    if (!conversation?.hasEarlier || conversation.loadingEarlier || conversation.room.state !== "joined") return;
    const { room } = conversation;
    const { epoch } = room;
    conversation.loadingEarlier = true;
    this.#screen.drawLogStart();
    try {
      const before = conversation.entries[0]?.seq ?? room.seq + 1;
      const page = await room.history({ before, limit: PAGE });
      if (page.epoch === epoch && room.epoch === epoch) conversation.addEarlier(page.messages, page.more, this.user);
    } catch (error) {
      // Without the grant `history` there is nothing to be had; anything else is tried again at the next scroll.
      if (error.code === "forbidden") conversation.hasEarlier = false;
    } finally {
      conversation.loadingEarlier = false;
      if (conversation === this.current) this.#screen.drawLog();
    }
  }

  /** Sets the topic, unless somebody changed it after `version`. */
  async setTopic(topic, version) {
    const { room } = this.current;
    try {
      await room.set("topic", topic || null, { ifVersion: version });
    } catch (error) {
      this.#screen.drawProblem(
        error.code === "conflict" ? "Somebody changed the topic meanwhile. Look, then try again." : explain(error),
      );
    }
  }

  // -- direct messages --

  #gotDirect(message) {
    if (typeof message.content !== "string") return; // events are for other applications
    const own = message.from === this.user;
    if (own && message.to === this.user && message.seq === undefined) return; // a note to oneself comes twice
    const conversation = this.open(`@${own ? message.to : (message.from ?? "server")}`);
    const { epoch, seq, from: user, timestamp: at, content: text } = message;
    // Known already: written here, or kept over a reload and sent again because not seen yet.
    if (own ? conversation.matchCopy(message) : conversation.hasDirect(epoch, seq)) return;
    this.#addDirect(conversation, { kind: "chat", seq, epoch, user, mine: own, at, text, ...(!own && { unseen: true }) });
  }

  #addDirect(conversation, entry) {
    conversation.entries.push(entry);
    if (entry.unseen) conversation.unread += 1;
    conversation.keepDirects();
    this.#added(conversation, entry);
  }

  /** `seen` covers the whole inbox, so it goes only as far as nothing unread is passed over. */
  #tellSeen() {
    const { epoch, seq } = this.#client.inbox;
    let upTo = seq;
    for (const conversation of this.conversations.values()) upTo = Math.min(upTo, conversation.firstUnseen(epoch) - 1);
    if (upTo <= (epoch === this.#seenSent.epoch ? this.#seenSent.seq : 0)) return;
    this.#seenSent = { epoch, seq: upTo };
    this.#client.seen({ epoch, seq: upTo }).catch(() => {
      this.#seenSent = { epoch, seq: 0 }; // told again with the next one; until then the server repeats them, and we know them
    });
  }

  // -- sending --

  send(text) {
    this.deliver(this.current, this.current.begin(createNonce(), text));
  }

  /** Sends, or sends again: the nonce makes both the same. */
  async deliver(conversation, message) {
    const { nonce, text } = message;
    message.state = "sending";
    message.error = undefined;
    this.#outgoingChanged(conversation);
    try {
      if (conversation.isRoom) {
        const { seq, epoch } = await conversation.room.chat(text, { nonce });
        message.state = "sent";
        // The log shows it in a moment, if it did not before. Further back than what is shown, it never will.
        if (epoch === conversation.room.epoch && seq <= (conversation.entries.at(-1)?.seq ?? 0)) conversation.takeOutgoing(nonce);
      } else {
        await this.#client.direct(conversation.name, text, { nonce });
        if (conversation.takeOutgoing(nonce)) {
          const awaitsCopy = !message.copied;
          this.#addDirect(conversation, { kind: "chat", user: this.user, mine: true, at: message.at, text, ...(awaitsCopy && { awaitsCopy }) });
        }
      }
    } catch (error) {
      if (this.#ended || error.code === "left") return;
      message.state = "failed";
      message.error = explain(error);
    }
    this.#outgoingChanged(conversation);
  }

  /** Gives up a message that failed. */
  discard(message) {
    this.current.takeOutgoing(message.nonce);
    this.#outgoingChanged(this.current);
  }

  #outgoingChanged(conversation) {
    this.#keepOutgoing();
    if (conversation === this.current) this.#screen.drawOutgoing();
  }

  #keepOutgoing() {
    keepOutgoing([...this.conversations.values()]);
  }

  // -- people --

  /** What to call a user. */
  nameOf(user) {
    if (user === null || user === undefined) return "Server";
    return this.#names.get(user) ?? user;
  }

  statusOf(user) {
    for (const { room } of this.conversations.values()) {
      const member = room?.members.get(user);
      if (member) return member.status;
    }
    return this.#client.online.get(user) ?? "offline";
  }

  setStatus(status) {
    this.#client.status(status).catch(ignore);
  }

  #nameSelf() {
    if (this.#identity.name && this.user) this.#learnNames([{ user: this.user, name: this.#identity.name }]);
  }

  /** Remembers what members are called; the users whose name is news. */
  #learnNames(members) {
    const learned = new Set();
    for (const { user, name } of members) {
      if (!name || this.#names.get(user) === name) continue;
      this.#names.set(user, name);
      learned.add(user);
    }
    if (learned.size === 0) return learned;
    while (this.#names.size > MAX_NAMES) this.#names.delete(this.#names.keys().next().value);
    remember("names", [...this.#names]);
    return learned;
  }
}

function explain(error) {
  switch (error.code) {
    case "disconnected":
      return "there is no connection";
    case "queue_full":
      return "too many messages are waiting already";
    default:
      return error.message;
  }
}

function ignore() {}
