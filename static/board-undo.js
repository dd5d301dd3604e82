/**
 * Undo and redo of own actions, on a board that others change meanwhile.
 *
 * To undo a step is to merge the value before it onto what there is now, with
 * the value after it as the common beginning. Where somebody changed the same
 * since, theirs stays. What an undo did is itself a step, which redo undoes.
 */

import { DELETED, merge, sameValue } from "./board-merge.js";

/** Actions remembered, the newest of them. */
const MAX_ACTIONS = 100;

export class UndoStack {
  #done = [];
  #undone = [];
  #pending;
  #sign;

  /**
   * @param {import("./board-pending.js").Pending} pending
   * @param {(value: object | null) => object | null} [sign] names this person as a value's author
   */
  constructor(pending, sign = (value) => value) {
    this.#pending = pending;
    this.#sign = sign;
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /** Remembers an action: what it is called, and its steps `{key, before, after}`. */
  did(name, steps) {
    this.#done.push({ name, steps });
    if (this.#done.length > MAX_ACTIONS) this.#done.shift();
    this.#undone.length = 0;
  }

  /** Undoes the last action. `{name, kept}`: `kept` where something stays because others changed it; null without action. */
  undo() {
    return this.#turn(this.#done, this.#undone);
  }

  redo() {
    return this.#turn(this.#undone, this.#done);
  }

  #turn(from, to) {
    const action = from.pop();
    if (!action) return null;
    const steps = [];
    let kept = false;
    for (const { key, before, after } of [...action.steps].reverse()) {
      const current = this.#pending.view(key);
      const reverted = revert(before, after, current);
      kept ||= reverted.kept;
      if (sameValue(reverted.value, current)) continue;
      const signed = this.#sign(reverted.value);
      this.#pending.put(key, signed);
      steps.push({ key, before: current, after: signed });
    }
    if (steps.length > 0) to.push({ name: action.name, steps });
    return { name: action.name, kept, done: steps.length > 0 };
  }
}

/** `current` without what led from `before` to `after`. */
export function revert(before, after, current) {
  const { value, conflicts } = merge(after, before, current);
  if (conflicts.length === 0) return { value, kept: false };
  if (conflicts[0] === DELETED) return { value: current, kept: true };
  const spared = { ...value };
  for (const field of conflicts) spared[field] = current[field];
  return { value: spared, kept: true };
}
