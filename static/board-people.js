/**
 * Who is on the board, and which card each of them has in hand.
 */

import { element, toneOf } from "./chat-log.js";

const $ = (id) => document.getElementById(id);

/** Eggs in the head; the others are a number. */
const MAX_EGGS = 5;
const byName = new Intl.Collator(undefined, { numeric: true });

/** The cards that others have selected, as their signals tell. */
export class Holders {
  #held = new Map(); // user → {card, editing}

  /** A signal came. The cards concerned. */
  tell(user, data) {
    const before = this.#held.get(user)?.card;
    const card = typeof data?.card === "string" ? data.card : null;
    if (card === null) this.#held.delete(user);
    else this.#held.set(user, { card, editing: data.editing === true });
    return [before, card];
  }

  remove(user) {
    return this.#held.delete(user);
  }

  clear() {
    this.#held.clear();
  }

  /** Who has a card. */
  of(key) {
    return [...this.#held].filter(([, { card }]) => card === key).map(([user, { editing }]) => ({ user, editing }));
  }
}

/**
 * Draws who is here.
 *
 * @param {import("./board-sync.js").BoardSync} sync
 */
export function drawPeople(sync) {
  const { members, count, user: self } = sync;
  const nameOf = (user) => sync.nameOf(user);
  const users = [...members.keys()].sort(
    (one, other) => Number(other === self) - Number(one === self) || byName.compare(nameOf(one), nameOf(other)),
  );
  const number = Math.max(count, members.size);
  $("people-count").textContent = number === 1 ? "1 person is here" : `${number} people are here`;
  $("eggs").replaceChildren(...users.slice(0, MAX_EGGS).map((user) => egg(user, nameOf(user))));
  $("eggs").dataset.count = String(number);
  const unshown = number - Math.min(users.length, MAX_EGGS);
  if (unshown > 0) $("eggs").append(element("span", "eggs-more", `+${unshown}`));
  $("members").replaceChildren(
    ...users.map((user) => {
      const text = element("span", "member-text", nameOf(user));
      if (user === self) text.append(element("span", "member-you", " (you)"));
      const item = element("li", "member", egg(user, nameOf(user)), text);
      item.dataset.status = members.get(user).status;
      return item;
    }),
  );
  $("members-note").hidden = number <= users.length;
  $("members-note").textContent = users.length === 0 ? `${number} people are here: too many to list.` : `and ${number - users.length} more`;
}

function egg(user, name) {
  const made = element("span", "egg", [...name][0]?.toUpperCase() ?? "");
  made.dataset.tone = toneOf(user);
  made.title = name;
  made.setAttribute("aria-hidden", "true");
  return made;
}
