/**
 * The log of the open conversation as a list of elements.
 *
 * Everything people wrote enters the page as text, never as markup.
 */

/** Messages of one person this close together share a name and a time. */
const GROUP_MS = 5 * 60_000;
/** This close to the end counts as being there. */
const NEAR_END_PX = 48;
/** Scrolled this close to the start, older messages are asked for. */
const NEAR_START_PX = 160;
const MAX_DATA_SHOWN = 240;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const fullTime = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const withYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

/** An element with a class, a text or children. */
export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** An icon of the page's symbols. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** The tone of a person: the same everywhere, and for everybody. */
export function toneOf(user) {
  let hash = 0x811c9dc5; // FNV-1a; its high bits are mixed best
  for (const character of user ?? "") hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  return String((hash >>> 16) % 8);
}

export class LogView {
  #log = document.getElementById("log");
  #start = document.getElementById("log-start");
  #entries = document.getElementById("entries");
  #outgoing = document.getElementById("outgoing");
  #conversation = null;
  #last = null; // the entry shown last, which the next one may join
  #nameOf;
  #atEnd = true;
  #renderDue = false;

  /**
   * @param {object} hooks
   * @param {(user: string) => string} hooks.nameOf
   * @param {() => void} hooks.onScroll after the view moved, by whomever
   * @param {() => void} hooks.onNearStart older messages are wanted
   * @param {(message: object) => void} hooks.onRetry
   * @param {(message: object) => void} hooks.onDiscard
   */
  constructor({ nameOf, onScroll, onNearStart, onRetry, onDiscard }) {
    this.#nameOf = nameOf;
    this.onRetry = onRetry;
    this.onDiscard = onDiscard;
    this.#log.addEventListener("scroll", () => {
      this.#atEnd = this.#distanceToEnd() < NEAR_END_PX;
      onScroll();
      if (this.#log.scrollTop < NEAR_START_PX) onNearStart();
    });
    // A keyboard on a phone, or a growing composer, must not hide the newest message.
    new ResizeObserver(() => this.#atEnd && this.scrollToEnd()).observe(this.#log);
  }

  get atEnd() {
    return this.#atEnd;
  }

  /** Is there room for more than what is shown? */
  get isShort() {
    return this.#log.scrollHeight <= this.#log.clientHeight + NEAR_START_PX;
  }

  open(conversation) {
    this.#conversation = conversation;
    this.#atEnd = true;
    this.render();
  }

  focus() {
    this.#log.focus();
  }

  scrollToEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#atEnd = true;
  }

  /** Draws everything anew, soon; many changes at once make one drawing. */
  renderSoon() {
    if (this.#renderDue) return;
    this.#renderDue = true;
    queueMicrotask(() => this.#renderDue && this.render());
  }

  /** Draws everything anew, and keeps the place. */
  render() {
    this.#renderDue = false;
    // A screen reader is told what arrives, not that the same was drawn again.
    this.#log.setAttribute("aria-live", "off");
    const fromEnd = this.#log.scrollHeight - this.#log.scrollTop;
    const fragment = document.createDocumentFragment();
    this.#last = null;
    for (const entry of this.#conversation?.entries ?? []) this.#appendTo(fragment, entry);
    this.#entries.replaceChildren(fragment);
    this.renderStart();
    this.renderOutgoing();
    if (this.#atEnd) this.scrollToEnd();
    else this.#log.scrollTop = this.#log.scrollHeight - fromEnd;
    requestAnimationFrame(() => this.#log.setAttribute("aria-live", "polite"));
  }

  /** Adds one entry that just arrived. */
  append(entry) {
    if (this.#renderDue) return; // it will be drawn with the rest
    this.#appendTo(this.#entries, entry);
    this.renderStart();
    this.renderOutgoing();
    if (this.#atEnd) this.scrollToEnd();
  }

  renderOutgoing() {
    const items = [];
    let last = this.#last;
    for (const message of this.#conversation?.outgoing ?? []) {
      const item = this.#item({ kind: "chat", user: null, mine: true, ...message }, last);
      item.classList.add(message.state);
      items.push(item);
      last = { kind: "chat", mine: true, at: message.at };
    }
    this.#outgoing.replaceChildren(...items);
    if (this.#atEnd) this.scrollToEnd();
  }

  renderStart() {
    const conversation = this.#conversation;
    this.#start.replaceChildren();
    if (!conversation) {
      this.#start.append(element("strong", "", "Nothing is open"), "Join a room from the list of conversations, or name a new one there.");
    } else if (conversation.loadingEarlier) {
      this.#start.textContent = "Fetching what came before…";
    } else if (conversation.isRoom && (conversation.hasEarlier || conversation.room?.state !== "joined")) {
      this.#start.textContent = conversation.entries.length > 0 ? "…" : "Opening the room…";
    } else if (conversation.isRoom) {
      this.#start.append(element("strong", "", `#${conversation.name}`), "This is where the room begins. Say the first word, or the next.");
    } else {
      this.#start.append(
        element("strong", "", this.#nameOf(conversation.name)),
        "Only the two of you read this. It is kept on the server until it has been seen.",
      );
    }
  }

  #distanceToEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight;
  }

  #appendTo(parent, entry) {
    if (!this.#last || !isSameDay(this.#last.at, entry.at)) parent.append(row("day", element("span", "", dayName(entry.at))));
    const fresh = this.#conversation.freshFrom === entry;
    if (fresh) parent.append(row("fresh", element("span", "", "New")));
    parent.append(this.#item(entry, fresh ? null : this.#last));
    this.#last = entry;
  }

  #item(entry, before) {
    if (entry.kind !== "chat") return this.#noteItem(entry);
    const opens = !joins(before, entry);
    const item = element("li", [opens && "opens", entry.mine && "mine"].filter(Boolean).join(" "));
    item.dataset.tone = entry.mine ? "own" : toneOf(entry.user);
    const who = element("span", opens ? "who" : "who spoken", entry.mine ? "You" : this.#nameOf(entry.user));
    if (!entry.mine) who.title = entry.user ?? "";
    const said = element("div", "said", linked(entry.text));
    if (entry.state === "failed") said.append(this.#failure(entry));
    item.append(opens ? who : element("span", "", who), said, whenElement(entry));
    return item;
  }

  #noteItem(entry) {
    const name = entry.mine ? "You" : this.#nameOf(entry.user);
    const said = [];
    if (entry.kind === "set") {
      said.push(entry.value ? `${name} set the topic: “${entry.value}”` : `${name} removed the topic`);
    } else {
      const data = JSON.stringify(entry.data) ?? "";
      const shown = data.length > MAX_DATA_SHOWN ? `${data.slice(0, MAX_DATA_SHOWN)}…` : data;
      said.push(`${name} published ${entry.event} `, element("code", "", shown));
    }
    const item = row("note opens", ...said);
    item.append(whenElement({ at: entry.at }));
    return item;
  }

  #failure(message) {
    const retry = element("button", "", "Try again");
    const discard = element("button", "", "Discard");
    retry.type = discard.type = "button";
    retry.addEventListener("click", () => this.onRetry(message));
    discard.addEventListener("click", () => this.onDiscard(message));
    return element("div", "failure", element("span", "", `Not sent: ${message.error}`), retry, discard);
  }
}

const isSameDay = (one, other) => new Date(one).toDateString() === new Date(other).toDateString();

function joins(before, entry) {
  return (
    before?.kind === "chat" &&
    Boolean(before.mine) === Boolean(entry.mine) &&
    (entry.mine || before.user === entry.user) &&
    isSameDay(before.at, entry.at) &&
    entry.at - before.at < GROUP_MS
  );
}

function row(className, ...content) {
  return element("li", className, element("span", ""), element("div", "said", ...content));
}

function dayName(at) {
  const now = Date.now();
  if (isSameDay(at, now)) return "Today";
  if (isSameDay(at, now - 86_400_000)) return "Yesterday";
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? weekday.format(at) : withYear.format(at);
}

const DELIVERY = { sending: ["clock", "Sending"], sent: ["check", "Sent"], failed: ["alert", "Not sent"] };

function whenElement(entry) {
  const time = element("time", "", clock.format(entry.at));
  time.dateTime = new Date(entry.at).toISOString();
  time.title = fullTime.format(entry.at);
  const when = element("span", "when", time);
  const delivery = entry.mine && DELIVERY[entry.state ?? "sent"];
  if (delivery) when.append(icon(delivery[0]), element("span", "spoken", delivery[1]));
  return when;
}

/** A text with its web addresses as links. */
function linked(text) {
  const made = element("div", "text");
  let end = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'’”]/g)) {
    const link = element("a", "", match[0]);
    link.href = match[0];
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    made.append(text.slice(end, match.index), link);
    end = match.index + match[0].length;
  }
  made.append(text.slice(end));
  return made;
}
