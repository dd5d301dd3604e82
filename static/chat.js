/**
 * The chat page: what every control does. The session itself
 * is in chat-session.js, what is shown of it in chat-screen.js.
 */

import { forgetAll, recall, remember } from "./chat-identity.js";
import { ChatSession } from "./chat-session.js";
import { Screen } from "./chat-screen.js";
import { Entry } from "./entry.js";

const DEFAULT_ROOM = "lobby";
const ROOM_NAME = /^[A-Za-z0-9_\-.:/]{1,128}$/;
/** Out of sight for so long, somebody who is "online" is shown as away. */
const AWAY_AFTER_MS = 60_000;

const $ = (id) => document.getElementById(id);

const screen = new Screen({
  onLeave: signOut,
  onOpen: () => {
    closeDrawers();
    focusComposer();
  },
});
let session = null;

// --- the way in and out ------------------------------------------------------

const entry = new Entry({ place: () => `#${wantedRooms()[0]}`, onEnter: start });

function start(identity) {
  session = new ChatSession(identity, screen);
  screen.attach(session);
  session.start(wantedRooms(), keyFromAddress());
  $("self-status").value = recall("status", "online");
  applyStatus();
}

function signOut(problem) {
  session.end();
  session = null;
  screen.attach(null);
  forgetAll();
  entry.ask(problem);
}

/** The rooms to be in: those of the address, else those of before, else the lobby. */
function wantedRooms() {
  const asked = new URLSearchParams(location.search).getAll("room");
  asked.push(keyFromAddress()?.slice(1) ?? "");
  const valid = asked.filter((name) => ROOM_NAME.test(name));
  if (valid.length > 0) return valid;
  const kept = recall("open", []).filter((key) => key.startsWith("#"));
  return kept.length > 0 ? kept.map((key) => key.slice(1)) : [DEFAULT_ROOM];
}

/** What the address names after its `#`: a room, or `@` and a user. */
function keyFromAddress() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return name === "" ? null : name.startsWith("@") ? name : `#${name}`;
  } catch {
    return null;
  }
}

$("sign-out").addEventListener("click", () => signOut());

window.addEventListener("hashchange", () => {
  const key = keyFromAddress();
  if (session && key && (key.startsWith("@") || ROOM_NAME.test(key.slice(1)))) session.show(session.open(key));
});

// --- rooms -------------------------------------------------------------------

$("join-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("join-name").value.trim().replace(/^#/, "");
  if (!ROOM_NAME.test(name)) {
    screen.drawProblem(name === "" ? "Type the name of a room." : "A room's name is made of letters, digits and _ - . : /");
    $("join-name").focus();
    return;
  }
  screen.drawProblem("");
  $("join-name").value = "";
  session.show(session.open(`#${name}`));
  closeDrawers();
  focusComposer();
});

$("leave").addEventListener("click", () => session.close(session.current));

function editTopic(open) {
  $("topic-form").hidden = !open;
  screen.drawHead();
  if (open) {
    const topic = session.current.room.shared.get("topic");
    $("topic-input").value = topic?.value ?? "";
    $("topic-input").dataset.version = topic?.version ?? 0;
    $("topic-input").select();
    $("topic-input").focus();
  } else {
    $("topic").focus();
  }
}

$("topic").addEventListener("click", () => editTopic(true));
$("topic-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = $("topic-input");
  session.setTopic(field.value.trim(), Number(field.dataset.version));
  editTopic(false);
});
$("topic-input").addEventListener("blur", () => !$("topic-form").hidden && editTopic(false));

// --- writing -----------------------------------------------------------------

function focusComposer() {
  // On a touch screen the focus would raise the keyboard over the conversation just opened.
  if (matchMedia("(pointer: fine)").matches) $("message").focus();
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("message").value.trim();
  if (!text || !session.current) return;
  $("message").value = "";
  session.current.keepDraft("");
  screen.fitComposer();
  screen.scrollToEnd();
  session.send(text);
});

$("message").addEventListener("keydown", (event) => {
  // Not while an input method still composes: there, Enter picks a word.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  } else if (event.key === "PageUp") {
    screen.focusLog();
  }
});

$("message").addEventListener("input", () => {
  screen.fitComposer();
  session.current?.keepDraft($("message").value);
  session.current?.room?.typing($("message").value !== "");
});

$("jump").addEventListener("click", () => {
  screen.scrollToEnd();
  focusComposer();
});

// --- drawers and keys --------------------------------------------------------

function openDrawer(pane, opener) {
  closeDrawers();
  pane.classList.add("open");
  opener.setAttribute("aria-expanded", "true");
  $("scrim").hidden = false;
  $("talk").inert = true;
  pane.querySelector("button, input").focus();
}

/** True where one was open. */
function closeDrawers() {
  if ($("scrim").hidden) return false;
  const opener = $("places").classList.contains("open") ? $("places-open") : $("people-open");
  for (const pane of [$("places"), $("people")]) pane.classList.remove("open");
  opener.setAttribute("aria-expanded", "false");
  $("scrim").hidden = true;
  $("talk").inert = false;
  opener.focus();
  return true;
}

$("places-open").addEventListener("click", () => openDrawer($("places"), $("places-open")));
$("people-open").addEventListener("click", () => openDrawer($("people"), $("people-open")));
for (const id of ["places-close", "people-close", "scrim"]) $(id).addEventListener("click", closeDrawers);
// A drawer left open would become a column, with the page behind it out of use.
for (const width of [760, 1040]) matchMedia(`(max-width: ${width}px)`).addEventListener("change", closeDrawers);

document.addEventListener("keydown", (event) => {
  if (!session) return;
  if (event.key === "Escape") {
    if (!$("topic-form").hidden) editTopic(false);
    else if (!closeDrawers()) $("message").focus();
  } else if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    session.step(event.key === "ArrowDown" ? 1 : -1);
  }
});

// --- connection and own status -----------------------------------------------

$("banner-action").addEventListener("click", () => session.hurry());

let isAway = false;
let awayTimer;

function applyStatus() {
  const chosen = $("self-status").value;
  const status = isAway && chosen === "online" ? "away" : chosen;
  $("self-dot").dataset.status = status;
  session?.setStatus(status);
}

$("self-status").addEventListener("change", () => {
  remember("status", $("self-status").value);
  applyStatus();
});

document.addEventListener("visibilitychange", () => {
  clearTimeout(awayTimer);
  if (document.hidden) {
    awayTimer = setTimeout(() => {
      isAway = true;
      applyStatus();
    }, AWAY_AFTER_MS);
    return;
  }
  if (isAway) {
    isAway = false;
    applyStatus();
  }
  session?.read();
});

entry.begin();
