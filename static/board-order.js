/**
 * Places in a list as strings: between any two there is room for another, so
 * that whoever moves one thing writes that thing alone.
 *
 * A place is a fraction in base 62 without its "0."; places compare as strings
 * do. None ends in "0", for nothing would fit below it.
 */

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE = DIGITS.length;
/** At the ends of a list the steps are short: there most things are added, and places stay short. */
const END_STEP = 3;

/**
 * A place after `low` and before `high`. People who ask for the same gap at the
 * same time mostly get different places.
 *
 * @param {string} low "" for the beginning of the list
 * @param {string | null} high null for its end; else greater than `low`
 * @param {() => number} [random] from 0 to 1
 * @returns {string}
 */
export function between(low, high, random = Math.random) {
  const first = low === "";
  const only = first && high === null;
  let made = "";
  for (let at = 0; ; at += 1) {
    const from = at < low.length ? DIGITS.indexOf(low[at]) : 0;
    const to = high === null ? BASE : at < high.length ? DIGITS.indexOf(high[at]) : 0;
    const room = to - from - 1;
    if (room > 0) return made + DIGITS[from + 1 + step(room, { first, last: high === null && !first, only }, random)];
    made += DIGITS[from];
    // One digit apart: whatever continues the lower one is below the upper one.
    if (to > from) high = null;
  }
}

/** How far above the lowest digit of a gap to go. */
function step(room, { first, last, only }, random) {
  if (only) return Math.floor(room / 2);
  if (last) return Math.floor(random() * Math.min(room, END_STEP));
  if (first) return room - 1 - Math.floor(random() * Math.min(room, END_STEP));
  // Around the middle, with both sides left wide.
  const quarter = Math.floor(room / 4);
  return quarter + Math.floor(random() * (room - 2 * quarter));
}

/**
 * The place for something put before the one at `index` of these places (which
 * rise, and may repeat where two people took the same one at the same time:
 * between equals there is no room, and the place is after them).
 *
 * @param {string[]} places
 * @param {number} index
 */
export function placeAt(places, index, random = Math.random) {
  const low = index > 0 ? places[index - 1] : "";
  return between(low, places.slice(index).find((place) => place > low) ?? null, random);
}
