/**
 * The chat page: joins the client (rookery.js), what is known of each
 * conversation (chat-conversation.js), the log (chat-log.js) and the controls
 * of the page. In reading order: entry, conversations, rooms, direct messages,
 * sending, connection, drawing, controls.
 */

import { Rookery, createNonce } from "./rookery.js";
import { Identity, forgetAll, recall, remember } from "./chat-identity.js";
import { Conversation, keepOutgoing } from "./chat-conversation.js";
import { LogView, element, toneOf } from "./chat-log.js";

const HISTORY = 50;
const DEFAULT_ROOM = "lobby";
const ROOM_NAME = /^[A-Za-z0-9_\-.:/]{1,128}$/;
const MAX_NAMES = 1_000;
/** Out of sight for so long, somebody who is "online" is shown as away. */
const AWAY_AFTER_MS = 60_000;

const byName = new Intl.Collator(undefined, { numeric: true });

const $ = (id) => document.getElementById(id);

const conversations = new Map(); // key → Conversation, in the order of the lists
const names = new Map(recall("names", [])); // user → display name
let identity = null;
let client = null;
let current = null;
let chosenStatus = "online";
let awayTimer;
let seenSent = 0;

const view = new LogView({
  nameOf,
  onScroll: () => {
    readIfVisible();
    drawJump();
  },
  onNearStart: loadEarlier,
  onRetry: (message) => deliver(current, message),
  onDiscard: (message) => {
    current.takeOutgoing(message.nonce);
    view.renderOutgoing();
  },
});

// --- entry -------------------------------------------------------------------

function askForName(problem = "") {
  $("app").hidden = true;
  $("entry").hidden = false;
  $("entry-room").textContent = `#${wantedRooms()[0]}`;
  $("entry-error").textContent = problem;
  document.title = "Rookery";
  ($("token-form").hidden ? $("entry-name") : $("entry-token")).focus();
}

function chooseForm(withToken) {
  $("entry-form").hidden = withToken;
  $("token-form").hidden = $("token-help").hidden = !withToken;
  $("entry-how").textContent = withToken ? "Show your token" : "Pick a name";
  $("entry-switch").textContent = withToken ? "Sign in as a guest" : "I have a token";
}

async function signIn(getIdentity, submit) {
  $("entry-error").textContent = "";
  submit.disabled = true;
  try {
    identity = await getIdentity();
  } catch (error) {
    if (error.code === "unauthorized") chooseForm(true);
    askForName(error.message);
    return;
  } finally {
    submit.disabled = false;
  }
  start();
}

function start() {
  $("entry").hidden = true;
  $("app").hidden = false;
  client = new Rookery(undefined, { token: (request) => identity.token(request) });
  client.on("state", onConnection);
  client.on("direct", onDirect);
  client.on("online", drawPlaces);
  client.on("error", (error) => error.code === "unauthorized" && signOut(error.message));
  client.connect();

  const kept = recall("open", []);
  for (const key of new Set([...wantedRooms().map((name) => `#${name}`), ...kept, ...Object.keys(recall("directs", {})).map((user) => `@${user}`)])) {
    openConversation(key);
  }
  const fromAddress = keyFromAddress();
  const first = conversations.has(fromAddress) ? fromAddress : recall("current", null);
  show(conversations.get(first) ?? conversations.values().next().value);
  for (const conversation of conversations.values()) {
    for (const message of [...conversation.outgoing]) deliver(conversation, message);
  }
  drawAll();
}

function signOut(problem) {
  client?.close();
  client = null;
  identity = null;
  current = null;
  conversations.clear();
  seenSent = 0;
  forgetAll();
  askForName(problem);
}

/** The rooms to be in: those of the address, else those of before, else the lobby. */
function wantedRooms() {
  const asked = new URLSearchParams(location.search).getAll("room");
  const key = keyFromAddress();
  if (key?.startsWith("#")) asked.push(key.slice(1));
  const kept = recall("open", []).filter((each) => each.startsWith("#"));
  const valid = asked.filter((name) => ROOM_NAME.test(name));
  if (valid.length > 0) return valid;
  return kept.length > 0 ? kept.map((each) => each.slice(1)) : [DEFAULT_ROOM];
}

function keyFromAddress() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return name === "" ? null : name.startsWith("@") ? name : `#${name}`;
  } catch {
    return null;
  }
}

// --- conversations -----------------------------------------------------------

function openConversation(key) {
  let conversation = conversations.get(key);
  if (!conversation) {
    conversation = new Conversation(key);
    conversations.set(key, conversation);
    if (conversation.isRoom) joinRoom(conversation);
    else client.watch([conversation.name]).catch(ignore);
    remember("open", [...conversations.keys()]);
  }
  return conversation;
}

function closeConversation(conversation) {
  conversations.delete(conversation.key);
  remember("open", [...conversations.keys()]);
  if (conversation.isRoom) {
    conversation.room.leave().catch(ignore);
  } else {
    const { [conversation.name]: _, ...others } = recall("directs", {});
    remember("directs", others);
    client.unwatch([conversation.name]).catch(ignore);
  }
  if (current === conversation) show(conversations.values().next().value ?? null);
  drawPlaces();
}

function show(conversation) {
  if (current === conversation) return;
  if (current) current.freshFrom = null;
  current?.room?.typing(false);
  current = conversation ?? null;
  remember("current", current?.key ?? null);
  const address = current ? `#${encodeURIComponent(current.isRoom ? current.name : current.key).replaceAll("%2F", "/")}` : "";
  history.replaceState(null, "", `${location.pathname}${location.search}${address}`);
  if (current?.unread > 0) {
    current.freshFrom = current.entries.filter((entry) => !entry.mine).at(-current.unread) ?? null;
  }
  $("message").value = current?.draft ?? "";
  fitComposer();
  view.open(current);
  readIfVisible();
  drawAll();
  if (view.isShort) loadEarlier();
}

/** What is in sight counts as read. */
function readIfVisible() {
  if (!current || current.unread === 0 || document.hidden || !view.atEnd) return;
  markRead(current);
}

function markRead(conversation) {
  const { room } = conversation;
  conversation.markRead(room ? { epoch: room.epoch, seq: room.seq } : null);
  if (!room) tellSeen();
  drawPlaces();
  drawJump();
}

function stepConversation(step) {
  const all = [...conversations.values()];
  if (all.length === 0) return;
  show(all[(all.indexOf(current) + step + all.length) % all.length]);
}

// --- rooms -------------------------------------------------------------------

function joinRoom(conversation) {
  const room = (conversation.room = client.join(conversation.name, { history: HISTORY }));
  const shown = () => conversation === current;
  room.on("joined", ({ recovered, epoch, seq }) => {
    if (!recovered) {
      conversation.clear();
      conversation.hasEarlier = seq > 0;
    }
    if (!conversation.read) conversation.markRead({ epoch, seq });
    drawPlaces();
    if (shown()) view.renderSoon();
  });
  room.on("message", (message, { replayed }) => {
    const entry = conversation.addLogged(message, client.user);
    conversation.hasEarlier &&= conversation.entries.length === 0 || conversation.entries[0].seq > 1;
    if (message.nonce) keepOutgoing([...conversations.values()]);
    if (!entry) return;
    const read = conversation.read;
    if (!entry.mine && !(read && read.epoch === room.epoch && message.seq <= read.seq)) conversation.unread += 1;
    if (shown()) {
      if (replayed || (view.atEnd && conversation.trim())) view.renderSoon();
      else view.append(entry);
      readIfVisible();
      drawJump();
    } else {
      conversation.trim();
    }
    if (entry.mine && conversation.unread === 0) conversation.markRead({ epoch: room.epoch, seq: room.seq });
    drawPlaces();
  });
  room.on("presence", ({ joined, updated }) => {
    for (const { user, name } of [...joined, ...updated]) if (name) names.set(user, name);
    while (names.size > MAX_NAMES) names.delete(names.keys().next().value);
    remember("names", [...names]);
    if (!shown()) return;
    if (joined.length > 0) view.renderSoon(); // a name may have become known
    drawPeople();
  });
  room.on("state", () => shown() && drawHead());
  room.on("typing", () => shown() && drawTyping());
  room.on("left", ({ reason }) => {
    if (reason === "client" || !conversations.has(conversation.key)) return;
    closeConversation(conversation);
  });
  room.on("error", (error) => {
    $("join-error").textContent = `#${conversation.name}: ${error.message}`;
  });
}

async function loadEarlier() {
  const conversation = current;
  if (!conversation?.room || !conversation.hasEarlier || conversation.loadingEarlier || conversation.room.state !== "joined") return;
  const { room } = conversation;
  const { epoch } = room;
  conversation.loadingEarlier = true;
  view.renderStart();
  try {
    const before = conversation.entries[0]?.seq ?? room.seq + 1;
    const page = await room.history({ before, limit: HISTORY });
    if (page.epoch === epoch && room.epoch === epoch) conversation.addEarlier(page.messages, page.more, client.user);
  } catch (error) {
    // Without the grant `history` there is nothing to be had; anything else is tried again at the next scroll.
    if (error.code === "forbidden") conversation.hasEarlier = false;
  } finally {
    conversation.loadingEarlier = false;
    if (conversation === current) view.render();
  }
}

// --- direct messages ---------------------------------------------------------

function onDirect(message) {
  if (typeof message.content !== "string") return; // events are for other applications
  const own = message.from === client.user;
  if (own && message.to === client.user && message.seq === undefined) return; // a note to oneself comes twice
  const conversation = openConversation(`@${own ? message.to : (message.from ?? "server")}`);
  const { epoch } = client.inbox;
  if (own) {
    // The sender's copy carries no seq; it is one of those written here, or another tab's.
    const here =
      conversation.outgoing.find(({ nonce, text, copied }) => !copied && (message.nonce ? nonce === message.nonce : text === message.content)) ??
      conversation.entries.find(({ awaitsCopy, text }) => awaitsCopy && text === message.content);
    if (here) {
      here.copied = true;
      delete here.awaitsCopy;
      return;
    }
  } else if (conversation.entries.some((entry) => entry.seq === message.seq && entry.epoch === epoch)) {
    return; // kept over the reload, and sent again because not seen yet
  }
  const entry = { kind: "chat", seq: message.seq, epoch, user: message.from, mine: own, at: message.timestamp, text: message.content };
  if (!own) {
    entry.unseen = true;
    conversation.unread += 1;
  }
  addDirect(conversation, entry);
}

function addDirect(conversation, entry) {
  conversation.entries.push(entry);
  conversation.trim();
  conversation.keepDirects();
  if (conversation === current) {
    view.append(entry);
    readIfVisible();
    drawJump();
  }
  drawPlaces();
}

/** `seen` covers the whole inbox, so it goes only as far as nothing unread is passed over. */
function tellSeen() {
  const { epoch, seq } = client.inbox;
  let upTo = seq;
  for (const conversation of conversations.values()) {
    if (conversation.isRoom) continue;
    for (const entry of conversation.entries) {
      if (entry.unseen && entry.epoch === epoch) upTo = Math.min(upTo, entry.seq - 1);
    }
  }
  if (upTo <= seenSent) return;
  seenSent = upTo;
  client.seen(upTo).catch(() => {
    seenSent = 0; // told again with the next one; until then the server repeats them, and we know them
  });
}

// --- sending -----------------------------------------------------------------

function send() {
  const text = $("message").value.trim();
  if (!text || !current) return;
  $("message").value = "";
  current.keepDraft("");
  fitComposer();
  view.scrollToEnd();
  deliver(current, current.begin(createNonce(), text));
}

/** Sends, or sends again: the nonce makes both the same. */
async function deliver(conversation, message) {
  const { nonce, text } = message;
  message.state = "sending";
  message.error = undefined;
  keepOutgoing([...conversations.values()]);
  if (conversation === current) view.renderOutgoing();
  try {
    const write = conversation.isRoom
      ? conversation.room.chat(text, { nonce })
      : client.direct(conversation.name, text, { nonce });
    const { seq, epoch } = await write;
    message.state = "sent";
    if (conversation.isRoom) {
      // The log shows it in a moment, if it did not before. Further back than what is shown, it never will.
      if (epoch === conversation.room.epoch && seq <= (conversation.entries.at(-1)?.seq ?? 0)) conversation.takeOutgoing(nonce);
    } else if (conversation.takeOutgoing(nonce)) {
      addDirect(conversation, { kind: "chat", user: client.user, mine: true, at: message.at, text, ...(!message.copied && { awaitsCopy: true }) });
    }
  } catch (error) {
    if (client === null || error.code === "left") return;
    message.state = "failed";
    message.error = explain(error);
  }
  keepOutgoing([...conversations.values()]);
  if (conversation === current) view.renderOutgoing();
  drawPlaces();
}

function explain(error) {
  switch (error.code) {
    case "disconnected":
      return "there is no connection";
    case "queue_full":
      return "too many messages are waiting already";
    case "not_found":
      return "nobody of that name is known";
    default:
      return error.message;
  }
}

// --- connection --------------------------------------------------------------

const CLOSED = {
  kicked: "You were disconnected by the server.",
  replaced: "This conversation went on in another window.",
};

function onConnection({ state, reason }) {
  if (!client) return; // signed out
  const text = { connected: "Connected", connecting: client.session ? "Reconnecting" : "Connecting", disconnected: "Disconnected" }[state];
  if ($("connection-text").textContent !== text) $("connection-text").textContent = text;
  $("connection").dataset.state = state;
  const waits = state === "connecting" && client.retryAt !== null;
  // A blink of the network is not worth a banner; the first connection is not a loss.
  const trouble = state === "disconnected" || (state === "connecting" && (waits || !$("banner").hidden));
  $("banner").hidden = !trouble;
  $("banner").classList.toggle("bad", state === "disconnected");
  if (state === "disconnected") {
    $("banner-title").textContent = CLOSED[reason] ?? "The connection ended.";
    $("banner-detail").textContent = "";
    $("banner-action").textContent = "Connect again";
  } else {
    $("banner-title").textContent = navigator.onLine ? "No connection to the server." : "You are offline.";
    $("banner-detail").textContent = "What you write is kept and sent later.";
    $("banner-action").textContent = "Try now";
  }
  drawCountdown();
  if (state === "connected") {
    drawSelf();
    if (current?.hasEarlier && view.isShort) loadEarlier();
  }
}

function drawCountdown() {
  const retryAt = client?.retryAt ?? null;
  const seconds = retryAt === null ? 0 : Math.ceil((retryAt - Date.now()) / 1000);
  $("banner-countdown").textContent =
    client?.state === "disconnected" ? "" : seconds > 0 ? `Trying again in ${seconds} s.` : "Trying…";
}

function applyStatus() {
  const status = chosenStatus === "online" && document.hidden && awayTimer === null ? "away" : chosenStatus;
  $("self-dot").dataset.status = status;
  client?.status(status).catch(ignore);
}

// --- drawing -----------------------------------------------------------------

function nameOf(user) {
  if (user === null || user === undefined) return "Server";
  return names.get(user) ?? user;
}

function memberOf(user) {
  for (const { room } of conversations.values()) {
    const member = room?.members.get(user);
    if (member) return member;
  }
  return null;
}

function statusOf(user) {
  return memberOf(user)?.status ?? client?.online.get(user) ?? "offline";
}

function drawEgg(egg, user) {
  egg.dataset.tone = toneOf(user);
  egg.textContent = [...nameOf(user)][0]?.toUpperCase() ?? "";
}

function drawAll() {
  drawPlaces();
  drawHead();
  drawPeople();
  drawSelf();
  drawTyping();
  drawJump();
}

function drawPlaces() {
  const focused = document.activeElement?.dataset?.key;
  const items = { rooms: [], directs: [] };
  let total = 0;
  for (const conversation of conversations.values()) {
    total += conversation.unread;
    items[conversation.isRoom ? "rooms" : "directs"].push(placeItem(conversation));
  }
  $("rooms").replaceChildren(...items.rooms);
  $("directs").replaceChildren(...items.directs);
  $("directs-empty").hidden = items.directs.length > 0;
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  $("places-badge").hidden = total === (current?.unread ?? 0);
  $("places-badge").textContent = badgeText(total - (current?.unread ?? 0));
  $("places-open").setAttribute("aria-label", total > 0 ? `Conversations, ${total} unread` : "Conversations");
  const title = current ? (current.isRoom ? `#${current.name}` : nameOf(current.name)) : "";
  document.title = `${total > 0 ? `(${total}) ` : ""}${title ? `${title} · ` : ""}Rookery`;
}

const badgeText = (count) => (count > 99 ? "99+" : String(count));

function placeItem(conversation) {
  const { key, name, isRoom, unread } = conversation;
  const button = element("button", unread > 0 ? "place unread" : "place");
  button.type = "button";
  button.dataset.key = key;
  if (conversation === current) button.setAttribute("aria-current", "page");
  const label = element("span", "place-name", isRoom ? name : nameOf(name));
  label.title = name;
  if (isRoom) {
    button.append(element("span", "place-sign", "#"), label);
  } else {
    const dot = element("span", "dot");
    dot.dataset.status = statusOf(name);
    button.append(dot, label, element("span", "spoken", dot.dataset.status));
  }
  if (unread > 0) {
    button.append(element("span", "badge", badgeText(unread)), element("span", "spoken", "unread"));
  }
  button.addEventListener("click", () => {
    show(conversation);
    closeDrawers();
    focusComposer();
  });
  return element("li", "", button);
}

function drawHead() {
  $("composer").hidden = $("leave").hidden = !current;
  $("app").classList.toggle("alone", !current?.isRoom);
  $("topic").hidden = !current?.isRoom || !$("topic-form").hidden;
  $("peer").hidden = !current || current.isRoom;
  $("title").textContent = current ? (current.isRoom ? `#${current.name}` : nameOf(current.name)) : "No conversation";
  if (!current) return;
  const what = current.isRoom ? `Leave #${current.name}` : `Close the conversation with ${nameOf(current.name)}`;
  $("leave").setAttribute("aria-label", what);
  $("leave").title = what;
  $("leave-icon").setAttribute("href", current.isRoom ? "#icon-leave" : "#icon-close");
  const field = $("message");
  field.placeholder = `Write to ${current.isRoom ? `#${current.name}` : nameOf(current.name)}`;
  if (current.isRoom) {
    const topic = current.room.shared.get("topic")?.value;
    $("topic").textContent = typeof topic === "string" ? topic : "Set a topic";
    $("topic").setAttribute("aria-label", typeof topic === "string" ? `Topic: ${topic}. Change it` : "Set a topic");
  } else {
    const status = statusOf(current.name);
    const dot = element("span", "dot");
    dot.dataset.status = status;
    $("peer").replaceChildren(dot, status === "offline" ? "offline: it will be there when they come back" : status);
  }
}

function drawPeople() {
  drawPlacesPresence();
  if (!current?.isRoom) return;
  const { members, count } = current.room;
  const rank = { online: 0, busy: 1, away: 2 };
  const sorted = [...members.values()].sort(
    (one, other) => (rank[one.status] ?? 3) - (rank[other.status] ?? 3) || byName.compare(nameOf(one.user), nameOf(other.user)),
  );
  const focused = document.activeElement?.dataset?.user;
  $("people-count").textContent = count > 0 ? String(count) : "";
  $("members").replaceChildren(...sorted.map(memberItem));
  if (focused) $("members").querySelector(`[data-user="${CSS.escape(focused)}"]`)?.focus();
  const unlisted = count - members.size;
  $("members-note").hidden = unlisted <= 0;
  $("members-note").textContent = members.size === 0 ? `${count} people are here: too many to list.` : `and ${unlisted} more`;
}

/** The dots beside direct messages follow presence too. */
function drawPlacesPresence() {
  if ([...conversations.values()].some(({ isRoom }) => !isRoom)) {
    drawPlaces();
    if (current && !current.isRoom) drawHead();
  }
}

function memberItem(member) {
  const own = member.user === client.user;
  const item = element(own ? "div" : "button", "member");
  item.dataset.status = member.status;
  const egg = element("span", "egg");
  egg.setAttribute("aria-hidden", "true");
  drawEgg(egg, member.user);
  const text = element("span", "member-text", nameOf(member.user));
  if (own) text.append(element("span", "member-you", " (you)"));
  const dot = element("span", "dot");
  dot.dataset.status = member.status;
  item.append(egg, text, element("span", "spoken", member.status), dot);
  item.title = member.user;
  if (!own) {
    item.type = "button";
    item.dataset.user = member.user;
    item.addEventListener("click", () => {
      show(openConversation(`@${member.user}`));
      closeDrawers();
      focusComposer();
    });
  }
  return element("li", "", item);
}

function drawSelf() {
  const user = client?.user ?? identity?.user;
  if (identity?.name && user) names.set(user, identity.name);
  $("self-name").textContent = user ? nameOf(user) : "";
  $("self-name").title = user ?? "";
  drawEgg($("self-egg"), user);
}

function drawTyping() {
  const writers = (current?.room?.typingUsers ?? []).filter((user) => user !== client.user).map(nameOf);
  $("typing").textContent =
    writers.length === 0
      ? ""
      : writers.length === 1
        ? `${writers[0]} is typing…`
        : writers.length === 2
          ? `${writers[0]} and ${writers[1]} are typing…`
          : `${writers.length} people are typing…`;
}

function drawJump() {
  $("jump").hidden = !current || view.atEnd;
  const unread = current?.unread ?? 0;
  $("jump-text").textContent = unread > 0 ? `${unread} new` : "Newest";
}

// --- controls ----------------------------------------------------------------

function fitComposer() {
  const field = $("message");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
  $("send").disabled = field.value.trim() === "";
}

function focusComposer() {
  // On a touch screen the focus would raise the keyboard over the conversation just opened.
  if (matchMedia("(pointer: fine)").matches) $("message").focus();
}

function openDrawer(pane, opener) {
  closeDrawers();
  pane.classList.add("open");
  opener.setAttribute("aria-expanded", "true");
  $("scrim").hidden = false;
  document.querySelector(".talk").inert = true;
  pane.querySelector("button, input")?.focus();
}

function closeDrawers() {
  if ($("scrim").hidden) return false;
  const opener = $("places").classList.contains("open") ? $("places-open") : $("people-open");
  for (const pane of [$("places"), $("people")]) pane.classList.remove("open");
  for (const each of [$("places-open"), $("people-open")]) each.setAttribute("aria-expanded", "false");
  $("scrim").hidden = true;
  document.querySelector(".talk").inert = false;
  opener.focus();
  return true;
}

function editTopic(open) {
  $("topic-form").hidden = !open;
  drawHead();
  if (open) {
    const topic = current.room.shared.get("topic");
    $("topic-input").value = topic?.value ?? "";
    $("topic-input").dataset.version = topic?.version ?? 0;
    $("topic-input").select();
    $("topic-input").focus();
  } else {
    $("topic").focus();
  }
}

async function saveTopic() {
  const { room } = current;
  const topic = $("topic-input").value.trim();
  const ifVersion = Number($("topic-input").dataset.version);
  editTopic(false);
  try {
    await room.set("topic", topic || null, { ifVersion });
  } catch (error) {
    $("topic").textContent =
      error.code === "conflict" ? "Somebody changed the topic meanwhile. Look, then try again." : explain(error);
  }
}

$("entry-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("entry-name").value.trim();
  if (name === "") {
    $("entry-error").textContent = "Type the name that others shall see.";
    $("entry-name").focus();
    return;
  }
  signIn(() => Identity.guest(name), $("entry-submit"));
});

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("entry-token").value.trim();
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
    $("entry-error").textContent = "That is not a token: it has three parts with dots between them.";
    return;
  }
  $("entry-token").value = "";
  signIn(() => Identity.withToken(token), event.submitter);
});

$("entry-switch").addEventListener("click", () => {
  chooseForm($("token-form").hidden);
  askForName();
});

$("join-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("join-name").value.trim().replace(/^#/, "");
  if (!ROOM_NAME.test(name)) {
    $("join-error").textContent = name === "" ? "Type the name of a room." : "A room's name is made of letters, digits and _ - . : /";
    $("join-name").focus();
    return;
  }
  $("join-error").textContent = "";
  $("join-name").value = "";
  show(openConversation(`#${name}`));
  closeDrawers();
  focusComposer();
});

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});

$("message").addEventListener("keydown", (event) => {
  // Not while an input method still composes: there, Enter picks a word.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});

$("message").addEventListener("input", () => {
  fitComposer();
  current?.keepDraft($("message").value);
  current?.room?.typing($("message").value !== "");
});

$("topic").addEventListener("click", () => editTopic(true));
$("topic-form").addEventListener("submit", (event) => {
  event.preventDefault();
  saveTopic();
});
$("topic-input").addEventListener("blur", () => !$("topic-form").hidden && editTopic(false));

$("self-status").addEventListener("change", () => {
  chosenStatus = $("self-status").value;
  applyStatus();
});
$("sign-out").addEventListener("click", () => signOut());
$("leave").addEventListener("click", () => current && closeConversation(current));
$("jump").addEventListener("click", () => {
  view.scrollToEnd();
  readIfVisible();
  drawJump();
  focusComposer();
});
$("banner-action").addEventListener("click", () => (client.state === "disconnected" ? client.connect() : client.reconnectNow()));
$("places-open").addEventListener("click", () => openDrawer($("places"), $("places-open")));
$("people-open").addEventListener("click", () => openDrawer($("people"), $("people-open")));
for (const id of ["places-close", "people-close", "scrim"]) $(id).addEventListener("click", closeDrawers);

document.addEventListener("keydown", (event) => {
  if (!client) return;
  if (event.key === "Escape") {
    if (!$("topic-form").hidden) editTopic(false);
    else if (!closeDrawers()) $("message").focus();
  } else if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    stepConversation(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "PageUp" && event.target === $("message")) {
    view.focus();
  }
});

document.addEventListener("visibilitychange", () => {
  if (!client) return;
  clearTimeout(awayTimer);
  if (document.hidden) {
    awayTimer = setTimeout(() => {
      awayTimer = null;
      applyStatus();
    }, AWAY_AFTER_MS);
  } else {
    if (awayTimer === null) applyStatus();
    awayTimer = undefined;
    readIfVisible();
  }
});

window.addEventListener("hashchange", () => {
  const key = keyFromAddress();
  if (client && key && (key.startsWith("@") || ROOM_NAME.test(key.slice(1)))) show(openConversation(key));
});

setInterval(drawCountdown, 1_000);

function ignore() {}

identity = Identity.recalled();
if (identity) start();
else askForName();
