/**
 * The fleet monitor: the connection, and what every control does. What is
 * known of the fleet is in agents-fleet.js, what is shown of it in
 * agents-table.js, agents-log.js and agents-chart.js.
 *
 * Each agent is a key of the room's shared state; what happens to agents are
 * events in a second room, `ROOM/events`. Values come faster than they can be
 * seen: they are only noted as they come, and shown at most once a frame.
 */

import { Rookery } from "./rookery.js";
import { forgetAll } from "./chat-identity.js";
import { ConnectionView } from "./connection-view.js";
import { Entry } from "./entry.js";
import { Chart, tones } from "./agents-chart.js";
import { Fleet } from "./agents-fleet.js";
import { CONDITION, ago, count, money, rate, short, time } from "./agents-format.js";
import { EventLog } from "./agents-log.js";
import { Table } from "./agents-table.js";

const DEFAULT_ROOM = "agents:demo";
/** At most so long that `/events` fits behind it. */
const ROOM_NAME = /^[A-Za-z0-9_\-.:/]{1,121}$/;
const DEFAULT_URL = "ws://127.0.0.1:8080";
/** Events to begin with. */
const EVENTS = 100;
/** Users asked about at once, so that one message stays far below the limit. */
const WATCHED = 250;
/** The order follows the figures this often: rows that jump about cannot be read. */
const SORT_MS = 2_000;
/** Where motion is to be reduced, figures change this often. */
const CALM_MS = 1_000;

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

function wantedRoom() {
  const asked = new URLSearchParams(location.search).get("room") ?? DEFAULT_ROOM;
  return ROOM_NAME.test(asked) ? asked : DEFAULT_ROOM;
}

const roomName = wantedRoom();
const view = new ConnectionView("What is shown here is from before.");
const table = new Table({ grid: $("grid"), box: $("rows"), scroller: $("fleet"), onOpen: (agent) => openAgent(agent.key) });
const log = new EventLog({ list: $("events-list"), scroller: $("events"), newer: $("events-newer") });
const whole = new Chart($("chart"), {
  height: 170,
  series: [
    { tone: "line", scale: "throughput", format: short },
    { tone: "bad", scale: "failures", format: short },
  ],
  onPoint: (index) => {
    pointed = index;
    drawLegend();
  },
});
const single = new Chart($("agent-chart"), { height: 130, series: [{ tone: "line", scale: "throughput", format: short }] });

let fleet = new Fleet();
let session = null;
/** Why the server does not let this user into the room. */
let refusal = "";
let opened = null;
let pointed = null;
let wish = { text: "", condition: "", errorsOnly: false, sort: "name", falling: false };

// --- the connection ----------------------------------------------------------

/** One stay on the page: the client and the two rooms. */
class Session {
  /** Keys whose values changed and are not shown yet. */
  changed = new Set();
  /** Agents whose presence nobody was asked for yet. */
  #unwatched = new Set();
  #watching = false;
  #ended = false;

  constructor(identity) {
    this.identity = identity;
    this.client = new Rookery(undefined, { token: (request) => identity.token(request) });
    this.client.on("state", (change) => {
      if (this.#ended) return;
      view.draw(change);
      if (change.state === "connected") $("self-name").textContent = identity.name ?? this.client.user;
    });
    this.client.on("online", (users) => table.update(fleet.present(users, Date.now()), Date.now()));
    this.client.on("error", (error) => error.code === "unauthorized" && signOut(error.message));
    this.room = this.client.join(roomName);
    this.room.on("joined", () => this.#joined());
    this.room.on("state", ({ keys }) => this.#note(keys));
    this.events = this.client.join(`${roomName}/events`, { history: EVENTS });
    this.events.on("joined", ({ recovered }) => recovered || log.clear());
    this.events.on("message", (message) => {
      if (message.type !== "event") return;
      log.add(message);
      schedule();
    });
    this.room.on("error", (error) => {
      if (this.#ended || this.room.state !== "left") return;
      refusal = error.message;
      drawEmpty();
    });
    this.events.on("error", (error) => !this.#ended && ($("events-problem").textContent = error.message));
  }

  begin() {
    this.client.connect();
  }

  get state() {
    return this.client.state;
  }

  get retryAt() {
    return this.client.retryAt;
  }

  get hadConnection() {
    return this.client.session !== null;
  }

  get isLive() {
    return this.client.state === "connected" && this.room.state === "joined";
  }

  hurry() {
    if (this.client.state === "disconnected") this.client.connect();
    else this.client.reconnectNow();
  }

  end() {
    this.#ended = true;
    this.client.close();
  }

  #joined() {
    // An empty room changes nothing, and is news all the same.
    schedule();
    drawEmpty();
  }

  #note(keys) {
    for (const key of keys) this.changed.add(key);
    schedule();
  }

  /** Takes over what changed since the last time. */
  take(now) {
    if (this.changed.size === 0) return [];
    const keys = [...this.changed];
    this.changed.clear();
    const { came, went } = fleet.take(keys, this.room.shared, now);
    for (const key of came) this.#unwatched.add(key);
    for (const key of went) this.#unwatched.delete(key);
    if (went.length > 0) this.client.unwatch(went).catch(ignore);
    if (came.length > 0) this.#watch();
    if (came.length > 0 || went.length > 0) arrange(now);
    return keys;
  }

  /** Follows whether the users behind the agents are there. (Large rooms do not list their members.) */
  async #watch() {
    if (this.#watching) return;
    this.#watching = true;
    while (this.#unwatched.size > 0 && !this.#ended) {
      const users = [...this.#unwatched].slice(0, WATCHED);
      for (const user of users) this.#unwatched.delete(user);
      try {
        await this.client.watch(users);
      } catch (error) {
        // More than the server lets one follow, or keys that are no users: then silence alone tells.
        if (error.code === "timeout") for (const user of users) this.#unwatched.add(user);
      }
    }
    this.#watching = false;
  }
}

function start(identity) {
  fleet = new Fleet();
  refusal = "";
  $("events-problem").textContent = "";
  session = new Session(identity);
  view.attach(session);
  session.begin();
  document.title = "Agents · Rookery";
  table.paint(tones());
  arrange();
  drawEmpty();
}

function signOut(problem) {
  session.end();
  session = null;
  view.attach(null);
  log.clear();
  closeDrawer();
  closeAgent();
  forgetAll();
  entry.ask(problem);
}

// --- showing -----------------------------------------------------------------

let isDue = false;
let shownAt = 0;

/** Shows what changed with the next frame; where motion is to be reduced, not before a second has passed. */
function schedule() {
  if (isDue || document.hidden) return;
  isDue = true;
  const wait = calm.matches ? shownAt + CALM_MS - performance.now() : 0;
  if (wait > 0) setTimeout(() => requestAnimationFrame(show), wait);
  else requestAnimationFrame(show);
}

function show() {
  isDue = false;
  if (!session) return;
  shownAt = performance.now();
  const now = Date.now();
  const keys = session.take(now);
  table.update(keys, now);
  if (opened !== null && keys.includes(opened)) drawAgent(now);
  log.flush();
}

/** Filters and orders anew. */
let arrangedAt = 0;
let shownCount = "";

function arrange(now = Date.now()) {
  arrangedAt = now;
  const list = fleet.view(wish);
  table.show(list, now);
  drawEmpty();
  $("nobody").hidden = list.length > 0 || fleet.agents.size === 0;
  $("grid").hidden = list.length === 0;
  const isFiltered = wish.text !== "" || wish.condition !== "" || wish.errorsOnly;
  // It is spoken when it changes, so live figures are only in it where somebody filtered.
  const text = isFiltered ? `${count(list.length)} of ${count(fleet.agents.size)} agents` : `${count(fleet.agents.size)} agents`;
  if (text !== shownCount) $("shown").textContent = shownCount = text;
}

/** Where there are no agents, the page says how to come by some, or why there can be none. */
function drawEmpty() {
  const isEmpty = fleet.agents.size === 0 && session?.room.state === "joined" && session.changed.size === 0;
  $("empty").hidden = !isEmpty;
  $("refused").hidden = refusal === "";
  $("refused-text").textContent = refusal;
  $("live").hidden = fleet.agents.size === 0 || refusal !== "";
}

/** What a second changes: the figures of the whole fleet, the charts, who fell silent. */
function tick() {
  if (!session) return;
  const now = Date.now();
  session.take(now);
  const { isLive } = session;
  // Without a connection it is this page that hears nothing, not the agents that fell silent.
  if (isLive) fleet.judge(now);
  fleet.sample(now, isLive);
  if (document.hidden) return;
  if (now - arrangedAt >= SORT_MS) arrange(now);
  drawTotals();
  table.tick(now);
  if (pointed === null) drawLegend();
  whole.draw(fleet.times.last(), fleet.throughput.last(), fleet.failures.last());
  if (opened !== null) drawAgent(now, true);
}

function write(id, text) {
  const place = $(id);
  if (place.textContent !== text) place.textContent = text;
}

function drawTotals() {
  const totals = fleet.totals();
  write("tile-live", count(totals.live));
  write("tile-agents", count(totals.agents));
  write("tile-working", count(totals.working));
  write("tile-waiting", count(totals.waiting));
  write("tile-idle", count(totals.idle));
  write("tile-throughput", count(totals.throughput));
  write("tile-tokens", short(totals.tokens));
  write("tile-cost", money(totals.cost));
  write("tile-cost-rate", money(fleet.costPerMinute));
  write("tile-errors", count(totals.errors));
  write("tile-failures", count(fleet.failuresPerMinute));
  write("tile-stale", count(totals.stale));
}

/** The figures under the pointer, else the newest. */
function drawLegend() {
  const times = fleet.times.last();
  const first = times.findIndex((at) => !Number.isNaN(at));
  const index = pointed === null || first < 0 ? times.length - 1 : Math.min(times.length - 1, first + pointed);
  const figure = (samples) => {
    const value = samples.last()[index];
    return Number.isNaN(value) ? "–" : count(value);
  };
  write("legend-throughput", figure(fleet.throughput));
  write("legend-failures", figure(fleet.failures));
  write("legend-time", pointed === null ? "" : `at ${time(times[index] * 1_000)}`);
}

setInterval(tick, 1_000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  schedule();
  tick();
});
dark.addEventListener("change", () => table.paint(tones()));

// --- one agent ---------------------------------------------------------------

function openAgent(key) {
  opened = key;
  $("agent").hidden = false;
  table.mark(key);
  drawAgent(Date.now(), true);
  filterLog();
  if (isNarrow()) openDrawer();
}

function closeAgent() {
  opened = null;
  $("agent").hidden = true;
  table.mark(null);
  filterLog();
}

function drawAgent(now, charts = false) {
  const agent = fleet.agents.get(opened);
  if (!agent) return closeAgent();
  write("agent-name", agent.name);
  write("agent-condition", CONDITION[agent.condition] ?? agent.condition);
  $("agent").dataset.condition = agent.condition;
  write("agent-task", agent.task);
  write("agent-throughput", rate(agent.isLive ? agent.throughput : 0));
  write("agent-tokens", count(agent.tokens));
  write("agent-cost", money(agent.cost));
  write("agent-tasks", count(agent.tasks));
  write("agent-errors", count(agent.errors));
  write("agent-heard", ago(now - agent.heardAt));
  write("agent-role", agent.role || "agent");
  write("agent-key", agent.key);
  if (charts) single.draw(fleet.times.last(), agent.samples.last());
}

function filterLog() {
  const failed = $("events-failed").checked;
  log.filter((entry) => (!failed || entry.mark === "failed") && (opened === null || entry.agent === opened));
  write("events-title", opened === null ? "Events" : "Its events");
}

$("agent-close").addEventListener("click", () => {
  closeAgent();
  if (!closeDrawer()) $("grid").focus();
});
$("events-failed").addEventListener("change", filterLog);

// --- filters and order -------------------------------------------------------

function wishFor(changes) {
  wish = { ...wish, ...changes };
  for (const button of document.querySelectorAll("[data-sort]")) {
    const head = button.parentElement;
    if (button.dataset.sort === wish.sort) head.setAttribute("aria-sort", wish.falling ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  $("sort").value = wish.sort;
  arrange();
}

/** What is looked for in figures are the large ones. */
const fallsAtFirst = (sort) => !["name", "condition", "heard"].includes(sort);

$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filter-text").addEventListener("input", () => wishFor({ text: $("filter-text").value }));
$("filter-condition").addEventListener("change", () => wishFor({ condition: $("filter-condition").value }));
$("filter-errors").addEventListener("change", () => wishFor({ errorsOnly: $("filter-errors").checked }));
$("sort").addEventListener("change", () => wishFor({ sort: $("sort").value, falling: fallsAtFirst($("sort").value) }));
$("filters-clear").addEventListener("click", () => {
  $("filters").reset();
  wishFor({ text: "", condition: "", errorsOnly: false });
  $("filter-text").focus();
});
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    const { sort } = button.dataset;
    wishFor({ sort, falling: sort === wish.sort ? !wish.falling : fallsAtFirst(sort) });
  });
}

// --- the drawer of narrow screens, and keys -----------------------------------

const narrow = matchMedia("(max-width: 900px)");
const isNarrow = () => narrow.matches;

function openDrawer() {
  $("side").classList.add("open");
  $("events-open").setAttribute("aria-expanded", "true");
  $("scrim").hidden = false;
  $("fleet").inert = true;
  (opened === null ? $("side-close") : $("agent-name")).focus();
}

/** True where it was open. */
function closeDrawer() {
  if ($("scrim").hidden) return false;
  const toGrid = opened !== null;
  $("side").classList.remove("open");
  $("events-open").setAttribute("aria-expanded", "false");
  $("scrim").hidden = true;
  $("fleet").inert = false;
  if (toGrid) closeAgent();
  (toGrid ? $("grid") : $("events-open")).focus();
  return true;
}

$("events-open").addEventListener("click", openDrawer);
$("side-close").addEventListener("click", closeDrawer);
$("scrim").addEventListener("click", closeDrawer);
narrow.addEventListener("change", closeDrawer);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !session) return;
  if (closeDrawer()) return;
  if (opened !== null) {
    closeAgent();
    $("grid").focus();
  }
});

$("banner-action").addEventListener("click", () => session.hurry());
$("sign-out").addEventListener("click", () => signOut());

// --- the way in --------------------------------------------------------------

$("room-name").textContent = roomName;
{
  const socket = `${location.protocol.replace("http", "ws")}//${location.host}`;
  const url = socket === DEFAULT_URL ? "" : ` --url ${socket}`;
  const command = `demo agents${url}${roomName === DEFAULT_ROOM ? "" : ` --room ${roomName}`}`;
  $("empty-command").textContent = `rookery ${command}`;
  $("empty-cargo").textContent = `cargo run --release -- ${command}`;
}

function ignore() {}

const entry = new Entry({ place: () => roomName, onEnter: start });
entry.begin();
