/**
 * What the server has of each key, and beside it what is changed here and not
 * there yet. It sends nothing: `due` gives what is to be written, and whoever
 * writes it tells how it went. Pure, but for the nonces.
 *
 * A change holds the value it began with (`base`) and the one wanted (`mine`).
 * When the server's value moves on, the change is merged onto it; `base` follows,
 * except in fields where a conflict waits for a decision. While a write is under
 * way nothing is merged: only its answer tells whether what the server shows
 * contains it.
 */

import { createNonce } from "./rookery.js";
import { DELETED, changedFields, merge, same, sameValue } from "./board-merge.js";

/** The place of a card or a column, which yields more easily than what people wrote. */
const PLACE = "place";

export class Pending {
  #server = new Map();
  #changes = new Map();
  #epoch = null;
  #seq = 0; // the place in the log that the last snapshot contains

  /** Keys with a change that is not on the server. */
  get keys() {
    return [...this.#changes.keys()];
  }

  get size() {
    return this.#changes.size;
  }

  /** The life of the log that the versions belong to. */
  get epoch() {
    return this.#epoch;
  }

  /** All keys that have a value, as seen here. */
  *entries() {
    for (const [key, { value }] of this.#server) if (value !== null && !this.#changes.has(key)) yield [key, value];
    for (const [key, { mine }] of this.#changes) if (mine !== null) yield [key, mine];
  }

  /** A key's value as seen here, own changes included; null where it has none. */
  view(key) {
    const change = this.#changes.get(key);
    return change ? change.mine : this.theirs(key);
  }

  /** A key's value as the server has it. */
  theirs(key) {
    return this.#server.get(key)?.value ?? null;
  }

  /** `saved`, `waiting`, `sending`, `conflict` or `failed`. */
  stateOf(key) {
    const change = this.#changes.get(key);
    if (!change) return "saved";
    if (change.problem) return "failed";
    if (change.sending) return "sending";
    return this.conflictOf(key) ? "conflict" : "waiting";
  }

  /** Why a key's change was refused. */
  problemOf(key) {
    return this.#changes.get(key)?.problem ?? null;
  }

  // -- own changes --

  /**
   * Changes a key; null deletes it.
   *
   * @param {string} key
   * @param {object | null} value
   * @param {object | null} [seen] what it was made from, where that is older
   *   than what is known now: what others did since is then merged
   */
  put(key, value, seen = this.view(key)) {
    const change = this.#changes.get(key);
    if (!change) {
      this.#changes.set(key, { base: seen, mine: value, sending: null, problem: null });
    } else {
      const { value: merged, conflicts } = merge(seen, value, change.mine);
      change.mine = merged;
      change.problem = null;
      for (const field of conflicts) if (field !== DELETED) change.base = { ...change.base, [field]: seen?.[field] };
    }
    this.#rebase(key);
  }

  /** Gives up a change: the server's value is shown again. */
  discard(key) {
    this.#changes.delete(key);
  }

  /** A change that was refused is to be tried again. */
  retry(key) {
    const change = this.#changes.get(key);
    if (change) change.problem = null;
  }

  // -- what the server says --

  /** All of the state, after joining: `[key, {value, version}]`. It contains the log up to `seq`, deletions too. */
  snapshot(state, epoch, seq = 0) {
    const isNewLife = epoch !== this.#epoch;
    this.#epoch = epoch;
    this.#seq = seq;
    this.#server = new Map(state);
    for (const [key, change] of this.#changes) {
      // A condition on a version of another life of the log means nothing.
      if (isNewLife) change.sending = null;
      this.#rebase(key);
    }
  }

  /** One key was set. False where that is old news. */
  receive(key, value, version) {
    if (version <= this.#known(key)) return false;
    this.#server.set(key, { value, version });
    this.#rebase(key);
    return true;
  }

  // -- writing --

  /** What is to be written now; each is under way from here on, until `acknowledged` or `refused`. */
  due(limit = Infinity) {
    const writes = [];
    let underWay = this.keys.filter((key) => this.#changes.get(key).sending).length;
    for (const [key, change] of this.#changes) {
      if (underWay >= limit) break;
      if (change.sending || this.stateOf(key) !== "waiting") continue;
      const known = this.#server.get(key);
      change.sending = { value: change.mine, nonce: createNonce(), ifVersion: known && known.value !== null ? known.version : 0 };
      writes.push({ key, ...change.sending });
      underWay += 1;
    }
    return writes;
  }

  /** What was under way before a reload: to be written again as it was. */
  resumed() {
    return [...this.#changes].filter(([, { sending }]) => sending).map(([key, { sending }]) => ({ key, ...sending }));
  }

  /** A write is in the log. */
  acknowledged(key, nonce, seq) {
    const change = this.#underWay(key, nonce);
    if (!change) return;
    const { value } = change.sending;
    change.base = value;
    this.#settle(key, change, value, seq);
  }

  /** The version was another one: `current` is what the server has. */
  conflicted(key, nonce, current) {
    const change = this.#underWay(key, nonce);
    if (!change) return;
    // An absent key has version 0: it was deleted since, if it is still here as it was when this was asked.
    const seen = this.#server.get(key);
    const isGone = current.version === 0 && seen && seen.value !== null && seen.version <= change.sending.ifVersion;
    this.#settle(key, change, current.value, isGone ? this.#known(key) + 1 : current.version);
  }

  /** A write was refused for good (`problem` is a text), or it is not known whether it arrived (null). */
  refused(key, nonce, problem) {
    const change = this.#underWay(key, nonce);
    if (!change) return;
    change.problem = problem;
    change.sending = null;
    this.#rebase(key);
  }

  #underWay(key, nonce) {
    const change = this.#changes.get(key);
    return change?.sending?.nonce === nonce ? change : null;
  }

  #settle(key, change, value, version) {
    change.sending = null;
    if (version > this.#known(key)) this.#server.set(key, { value, version });
    this.#rebase(key);
  }

  /** What has a version up to this one is no news of a key. */
  #known(key) {
    return Math.max(this.#server.get(key)?.version ?? 0, this.#seq);
  }

  // -- conflicts --

  /**
   * What a person has to decide, or null.
   *
   * @returns {{deleted: "here" | "there" | null, fields: string[], base: object | null, mine: object | null, theirs: object | null} | null}
   */
  conflictOf(key) {
    const change = this.#changes.get(key);
    if (!change || change.sending) return null;
    const { base, mine } = change;
    const theirs = this.theirs(key);
    const fields = hardConflicts(base, mine, theirs);
    if (fields.length === 0) return null;
    const deleted = fields[0] !== DELETED ? null : mine === null ? "here" : "there";
    return { deleted, fields: deleted ? [] : fields, base, mine, theirs };
  }

  /**
   * Decides a conflict as it was shown.
   *
   * @param {string} key
   * @param {object} shown what `conflictOf` gave
   * @param {object | null} choice the fields decided with their values; for a
   *   deletion, the value to keep, or null to delete
   */
  resolve(key, shown, choice) {
    const change = this.#changes.get(key);
    if (!change) return;
    if (shown.deleted) {
      change.mine = choice;
      change.base = shown.theirs;
    } else {
      // Decided against what was shown: if the server's value moved on since, that is a conflict again.
      for (const field of shown.fields) {
        change.base = { ...change.base, [field]: shown.theirs[field] };
        change.mine = { ...change.mine, [field]: choice[field] };
      }
    }
    this.#rebase(key);
  }

  #rebase(key) {
    const change = this.#changes.get(key);
    if (!change || change.sending) return;
    const theirs = this.theirs(key);
    const { base, mine } = change;
    const conflicts = hardConflicts(base, mine, theirs);
    if (conflicts[0] === DELETED) return;
    const value = mergeSoftly(base, mine, theirs);
    change.mine = value;
    change.base = conflicts.length === 0 ? theirs : { ...theirs };
    for (const field of conflicts) change.base[field] = base?.[field];
    if (conflicts.length === 0 && sameValue(value, theirs)) this.#changes.delete(key);
  }

  // -- over a reload --

  toJSON() {
    return { epoch: this.#epoch, changes: [...this.#changes] };
  }

  /** The server's values as last seen. */
  get seen() {
    return { epoch: this.#epoch, state: [...this.#server].filter(([, { value }]) => value !== null) };
  }

  /** Takes up the changes of an earlier page, where none of this one are in the way; gives back the others. */
  restore({ epoch, changes }) {
    const left = [];
    for (const [key, change] of changes) {
      if (this.#changes.has(key)) left.push([key, change]);
      else this.#changes.set(key, { ...change, sending: epoch === this.#epoch || this.#epoch === null ? change.sending : null });
    }
    this.#epoch ??= epoch;
    for (const [key] of changes) this.#rebase(key);
    return left;
  }
}

/** The conflicts that a person is asked about. */
function hardConflicts(base, mine, theirs) {
  const { conflicts } = merge(base, mine, theirs);
  return conflicts.filter((field) => {
    if (field === DELETED) return !onlyMoved(base, mine ?? theirs);
    // Both moved it to the same list: where in it is not worth a question.
    return field !== PLACE || !sameList(mine[PLACE], theirs[PLACE]);
  });
}

/** As `merge`, with the deletion of what the other side only moved. */
function mergeSoftly(base, mine, theirs) {
  const { value, conflicts } = merge(base, mine, theirs);
  return conflicts[0] === DELETED ? null : value;
}

const onlyMoved = (base, value) => changedFields(base, value).every((field) => field === PLACE);
const sameList = (one, other) => !Array.isArray(one) || !Array.isArray(other) || same(one[0], other[0]);
