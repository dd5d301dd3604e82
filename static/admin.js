/**
 * The operator's page: the way in, the sections, and which of them is shown. The
 * address says what is shown: `#`, `#rooms`, `#rooms=dash:*`, `#room=NAME`,
 * `#user=ID`. The key is never in it.
 */

import { Api, keepKey, storedKey } from "./admin-api.js";
import { address } from "./admin-format.js";
import { Overview } from "./admin-overview.js";
import { RoomView } from "./admin-room.js";
import { RoomsView } from "./admin-rooms.js";
import { Trace } from "./admin-trace.js";
import { UserView } from "./admin-user.js";
import { time } from "./agents-format.js";

const $ = (id) => document.getElementById(id);

const views = { overview: new Overview(), rooms: new RoomsView(), room: new RoomView(), user: new UserView() };
const trace = new Trace();
let api = null;
let shown = null;
let answeredAt = null;

// --- the way in --------------------------------------------------------------

async function enter(key, keep) {
  $("key-error").textContent = "";
  $("key-submit").disabled = true;
  const wanted = new Api(key);
  try {
    await wanted.begin();
    if (keep) keepKey(key);
    api = wanted;
    $("key").value = "";
    $("entry").hidden = true;
    $("app").hidden = false;
    $("key-name").textContent = api.name ?? "A key for everything";
    $("key-name").title = `Scopes: ${[...api.scopes].join(", ")}${api.rooms ? `; rooms: ${api.rooms.join(", ")}` : ""}`;
    heard(null);
    route();
  } catch (error) {
    ask(error.message);
  } finally {
    $("key-submit").disabled = false;
  }
}

function ask(problem = "") {
  leave();
  api = null;
  $("app").hidden = true;
  $("entry").hidden = false;
  $("key-error").textContent = problem;
  document.title = "Operator · Rookery";
  if ($("confirm").open) $("confirm").close("no");
  $("key").focus();
}

function signOut(problem = "") {
  keepKey(null);
  ask(problem);
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  if (/^[!-~]{8,}$/.test(key)) enter(key, $("key-keep").checked);
  else $("key-error").textContent = "A key has at least 8 characters, and no spaces.";
});
$("sign-out").addEventListener("click", () => signOut());

// --- how the server is -------------------------------------------------------

/** What became of a call: none where it was answered. */
function heard(error) {
  if (error?.kind === "unauthorized") return signOut(error.message);
  const isAway = error?.kind === "away";
  if (!isAway) answeredAt = Date.now();
  $("connection").dataset.state = isAway ? "connecting" : "connected";
  $("connection-text").textContent = isAway ? "No answer" : "Connected";
  $("banner").hidden = !isAway;
  if (isAway) {
    const before = answeredAt === null ? "" : ` What is shown is from ${time(answeredAt)}.`;
    const text = `${error.message}${before} Trying again.`;
    if ($("banner-text").textContent !== text) $("banner-text").textContent = text;
  }
}

// --- sections ----------------------------------------------------------------

function leave() {
  shown?.end();
  shown = null;
  trace.stop();
}

function route() {
  if (!api) return;
  const wish = new URLSearchParams(location.hash.slice(1));
  const kind = ["room", "user", "rooms"].find((it) => wish.has(it)) ?? "overview";
  const name = wish.get(kind) ?? "";
  if ((kind === "room" || kind === "user") && name === "") return void (location.hash = "");
  leave();
  for (const id of Object.keys(views)) $(id).hidden = id !== kind;
  $("trace").hidden = kind !== "room" && kind !== "user";
  const current = { overview: "to-overview", rooms: "to-rooms" }[kind];
  for (const id of ["to-overview", "to-rooms"]) {
    if (id === current) $(id).setAttribute("aria-current", "page");
    else $(id).removeAttribute("aria-current");
  }
  if (!$("trace").hidden) trace.show(api, { kind, name, on: false });
  shown = views[kind];
  shown.begin({ api, name, heard });
  const title = $(kind).querySelector("h1");
  document.title = `${title.textContent} · Rookery`;
  $("content").scrollTop = 0;
  title.focus({ preventScroll: true });
}

window.addEventListener("hashchange", () => location.hash !== "#content" && route());

$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("find-name").value.trim();
  if (name === "") return $("find-name").focus();
  $("find-name").value = "";
  location.hash = address($("find-kind").value, name);
});

// A skip link must not take the address from what is shown.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("content").focus();
});

const kept = storedKey();
if (kept === null) ask();
else enter(kept, false);
