/**
 * What is said rather than shown: to screen readers, and in the line at the
 * bottom for a few seconds.
 */

const $ = (id) => document.getElementById(id);

const TOAST_MS = 6_000;
/** What others do is gathered for so long: who listens shall also get to work. */
const GATHER_MS = 2_000;

let toastTimer;
let gatherTimer;
const gathered = new Map(); // what → by whom

/** Tells screen readers, politely. */
export function say(text) {
  // The same words twice are news twice.
  $("said").textContent = $("said").textContent === text ? `${text}\u00a0` : text;
}

/** Tells everybody, in sight. */
export function toast(text) {
  clearTimeout(toastTimer);
  $("toast").textContent = text;
  toastTimer = setTimeout(() => ($("toast").textContent = ""), TOAST_MS);
}

/** Tells screen readers what others do, many things in one sentence. */
export function sayOfOthers(by, what) {
  gathered.set(what, by);
  gatherTimer ??= setTimeout(() => {
    gatherTimer = undefined;
    const people = [...new Set(gathered.values())].join(", ");
    say(gathered.size === 1 ? `${people} changed “${what}”` : `${people} changed ${gathered.size} things`);
    gathered.clear();
  }, GATHER_MS);
}
