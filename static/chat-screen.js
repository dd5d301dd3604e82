/**
 * What the page shows of a session: the lists, the head, the people, the log
 * and the state of the connection. It changes nothing but elements.
 */

import { LogView, element, toneOf } from "./chat-log.js";
import { ConnectionView } from "./connection-view.js";

const $ = (id) => document.getElementById(id);

const byName = new Intl.Collator(undefined, { numeric: true });
const RANK = { online: 0, busy: 1, away: 2 };

export class Screen {
  #session = null;
  #view;
  #connection = new ConnectionView("What you write is kept and sent later.");

  /**
   * @param {object} hooks
   * @param {(problem: string) => void} hooks.onLeave the session cannot go on
   * @param {() => void} hooks.onOpen somebody chose a conversation
   */
  constructor({ onLeave, onOpen }) {
    this.leave = onLeave;
    this.onOpen = onOpen;
    this.#view = new LogView({
      nameOf: (user) => this.#session.nameOf(user),
      onScroll: () => {
        this.#session?.read();
        this.#drawJump();
      },
      onNearStart: () => this.#session?.loadEarlier(),
      onRetry: (message) => this.#session.deliver(this.#session.current, message),
      onDiscard: (message) => this.#session.discard(message),
    });
  }

  /** The session to show, or null. */
  attach(session) {
    this.#session = session;
    this.#connection.attach(session);
    this.#view.open(null);
  }

  /** Is what arrives being looked at? */
  get isReading() {
    return !document.hidden && this.isAtEnd;
  }

  get isAtEnd() {
    return this.#view.atEnd;
  }

  get isShort() {
    return this.#view.isShort;
  }

  // -- the log --

  drawLog() {
    this.#view.renderSoon();
    this.#drawJump();
  }

  append(entry) {
    this.#view.append(entry);
    this.#drawJump();
  }

  drawLogStart() {
    this.#view.renderStart();
  }

  drawOutgoing() {
    this.#view.renderOutgoing();
  }

  focusLog() {
    this.#view.focus();
  }

  scrollToEnd() {
    this.#view.scrollToEnd();
    this.#session.read();
    this.#drawJump();
  }

  #drawJump() {
    const current = this.#session?.current;
    $("jump").hidden = !current || this.isAtEnd;
    $("jump-text").textContent = current?.unread > 0 ? `${current.unread} new` : "Newest";
  }

  // -- all of one conversation --

  /** Another conversation is shown. */
  drawConversation() {
    const { current } = this.#session;
    const name = current && (current.isRoom ? current.name : current.key);
    const address = name ? `#${encodeURIComponent(name).replaceAll("%2F", "/")}` : "";
    history.replaceState(null, "", `${location.pathname}${location.search}${address}`);
    $("message").value = current?.draft ?? "";
    this.fitComposer();
    this.#view.open(current);
    this.drawPlaces();
    this.drawHead();
    this.drawPresence();
    this.drawTyping();
    this.#drawJump();
  }

  fitComposer() {
    const field = $("message");
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    $("send").disabled = field.value.trim() === "";
  }

  drawHead() {
    const { current } = this.#session;
    const title = current ? this.#titleOf(current) : "No conversation";
    $("composer").hidden = $("leave").hidden = !current;
    $("app").classList.toggle("alone", !current?.isRoom);
    $("topic").hidden = !current?.isRoom || !$("topic-form").hidden;
    $("peer").hidden = !current || current.isRoom;
    $("title").textContent = title;
    if (!current) return;
    const what = current.isRoom ? `Leave ${title}` : `Close the conversation with ${title}`;
    $("leave").setAttribute("aria-label", what);
    $("leave").title = what;
    $("leave-icon").setAttribute("href", current.isRoom ? "#icon-leave" : "#icon-close");
    $("message").placeholder = `Write to ${title}`;
    if (current.isRoom) {
      const topic = current.room.shared.get("topic")?.value;
      const isSet = typeof topic === "string";
      $("topic").textContent = isSet ? topic : "Set a topic";
      $("topic").setAttribute("aria-label", isSet ? `Topic: ${topic}. Change it` : "Set a topic");
    } else {
      const status = this.#session.statusOf(current.name);
      $("peer").replaceChildren(dot(status), status === "offline" ? "offline: it will be there when they come back" : status);
    }
  }

  drawTyping() {
    const { current, user } = this.#session;
    const writers = (current?.room?.typingUsers ?? []).filter((each) => each !== user).map((each) => this.#session.nameOf(each));
    $("typing").textContent =
      writers.length === 0
        ? ""
        : writers.length === 1
          ? `${writers[0]} is typing…`
          : writers.length === 2
            ? `${writers[0]} and ${writers[1]} are typing…`
            : `${writers.length} people are typing…`;
  }

  #titleOf(conversation) {
    return conversation.isRoom ? `#${conversation.name}` : this.#session.nameOf(conversation.name);
  }

  // -- the lists --

  drawPlaces() {
    const { conversations, current } = this.#session;
    const focused = document.activeElement?.dataset?.key;
    const items = { rooms: [], directs: [] };
    for (const conversation of conversations.values()) {
      items[conversation.isRoom ? "rooms" : "directs"].push(this.#placeItem(conversation));
    }
    $("rooms").replaceChildren(...items.rooms);
    $("directs").replaceChildren(...items.directs);
    $("directs-empty").hidden = items.directs.length > 0;
    if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();

    const total = this.#session.unread();
    const elsewhere = this.#session.unread({ elsewhere: true });
    $("places-badge").hidden = elsewhere === 0;
    $("places-badge").textContent = badgeText(elsewhere);
    $("places-open").setAttribute("aria-label", elsewhere > 0 ? `Conversations, ${elsewhere} unread` : "Conversations");
    document.title = `${total > 0 ? `(${total}) ` : ""}${current ? `${this.#titleOf(current)} · ` : ""}Rookery`;
    this.#drawJump();
  }

  #placeItem(conversation) {
    const { key, name, isRoom, unread } = conversation;
    const button = element("button", unread > 0 ? "place unread" : "place");
    button.type = "button";
    button.dataset.key = key;
    if (conversation === this.#session.current) button.setAttribute("aria-current", "page");
    const label = element("span", "place-name", isRoom ? name : this.#session.nameOf(name));
    label.title = name;
    if (isRoom) {
      button.append(element("span", "place-sign", "#"), label);
    } else {
      const status = this.#session.statusOf(name);
      button.append(dot(status), label, element("span", "spoken", status));
    }
    if (unread > 0) button.append(element("span", "badge", badgeText(unread)), element("span", "spoken", "unread"));
    button.addEventListener("click", () => {
      this.#session.show(conversation);
      this.onOpen();
    });
    return element("li", "", button);
  }

  /** Somebody came, went or changed: the people, and the dots beside direct messages. */
  drawPresence() {
    const { current, conversations } = this.#session;
    this.drawSelf();
    if ([...conversations.values()].some(({ isRoom }) => !isRoom)) this.drawPlaces();
    if (!current) return;
    if (current.isRoom) this.#drawPeople(current.room);
    else this.drawHead();
  }

  #drawPeople({ members, count }) {
    const nameOf = (user) => this.#session.nameOf(user);
    const sorted = [...members.values()].sort(
      (one, other) => (RANK[one.status] ?? 3) - (RANK[other.status] ?? 3) || byName.compare(nameOf(one.user), nameOf(other.user)),
    );
    const focused = document.activeElement?.dataset?.user;
    $("people-count").textContent = count > 0 ? String(count) : "";
    $("members").replaceChildren(...sorted.map((member) => this.#memberItem(member)));
    if (focused) $("members").querySelector(`[data-user="${CSS.escape(focused)}"]`)?.focus();
    const unlisted = count - members.size;
    $("members-note").hidden = unlisted <= 0;
    $("members-note").textContent = members.size === 0 ? `${count} people are here: too many to list.` : `and ${unlisted} more`;
  }

  #memberItem({ user, status }) {
    const own = user === this.#session.user;
    const item = element(own ? "div" : "button", "member");
    item.dataset.status = status;
    item.title = user;
    const text = element("span", "member-text", this.#session.nameOf(user));
    if (own) text.append(element("span", "member-you", " (you)"));
    const egg = element("span", "egg");
    egg.setAttribute("aria-hidden", "true");
    this.#drawEgg(egg, user);
    item.append(egg, text, element("span", "spoken", status), dot(status));
    if (!own) {
      item.type = "button";
      item.dataset.user = user;
      item.addEventListener("click", () => {
        this.#session.show(this.#session.open(`@${user}`));
        this.onOpen();
      });
    }
    return element("li", "", item);
  }

  drawSelf() {
    const { user } = this.#session;
    $("self-name").textContent = user ? this.#session.nameOf(user) : "";
    $("self-name").title = user ?? "";
    this.#drawEgg($("self-egg"), user);
  }

  #drawEgg(egg, user) {
    egg.dataset.tone = toneOf(user);
    egg.textContent = user ? ([...this.#session.nameOf(user)][0]?.toUpperCase() ?? "") : "";
  }

  /** Something asked for was refused. */
  drawProblem(text) {
    $("join-error").textContent = text;
  }

  // -- the connection --

  drawConnection(change) {
    this.#connection.draw(change);
    if (change.state === "connected") this.drawSelf();
  }
}

function dot(status) {
  const made = element("span", "dot");
  made.dataset.status = status;
  return made;
}

const badgeText = (count) => (count > 99 ? "99+" : String(count));
