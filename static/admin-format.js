/** What several parts of the operator's page write alike. */

import { element } from "./chat-log.js";
import { span, time } from "./agents-format.js";

/** The address of a room's or a user's page. */
export const address = (kind, name) => `#${new URLSearchParams({ [kind]: name })}`;

/** A link to it. */
export function link(kind, name) {
  const made = element("a", "name", name);
  made.href = address(kind, name);
  return made;
}

/** A time of day, which says its date when it is pointed at. */
export function moment(at) {
  const made = element("time", "", time(at));
  const date = new Date(at);
  made.dateTime = date.toISOString();
  made.title = date.toLocaleString();
  return made;
}

export const bytes = (size) => (size < 1_024 ? `${size} B` : `${(size / 1_024).toFixed(1)} KiB`);

/** How long something lasts by now. */
export function lasts(ms) {
  const hours = ms / 3_600_000;
  return hours < 48 ? span(Math.max(0, ms)) : `${Math.floor(hours / 24)} d`;
}

/** The rows of a table, written anew; what did not change keeps its element, and so the focus. */
export function rows(body, entries, keyOf, cellsOf) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const wanted = entries.map((entry) => {
    const key = keyOf(entry);
    const row = known.get(key) ?? element("tr", "");
    row.dataset.key = key;
    cellsOf(entry).forEach((cell, n) => {
      const written = cell instanceof Node ? `${cell.className}\n${cell.textContent}` : String(cell);
      let place = row.children[n];
      if (place?.written === written) return;
      if (!place) {
        place = element(n === 0 ? "th" : "td", "");
        if (n === 0) place.scope = "row";
        place.dataset.label = body.parentElement.tHead.rows[0].cells[n].textContent;
        row.append(place);
      }
      place.written = written;
      place.replaceChildren(cell);
    });
    return row;
  });
  if (wanted.length !== body.children.length || wanted.some((row, n) => body.children[n] !== row)) body.replaceChildren(...wanted);
}
