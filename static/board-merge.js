/**
 * Three versions of one value made into one: the one both sides began with,
 * mine, and theirs. A value is an object of fields, or null where it does not
 * exist. Pure functions.
 *
 * Fields that only one side changed are taken from that side. Lists named in
 * `SETS` are merged by the `id` of their items. Where both changed the same
 * field, that is a conflict, and a person decides.
 */

/** Lists whose items come and go one by one. */
const SETS = new Set(["notes"]);
/** Not part of what is compared: who wrote a value last. */
const AUTHOR = "by";

/** The conflict of a whole value: deleted on one side, changed on the other. */
export const DELETED = "*";

/** Do two JSON values say the same? Of objects the order of keys does not count. */
export function same(one, other) {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => key in other && same(one[key], other[key]));
}

/** The fields in which two values differ. */
export function changedFields(one, other) {
  return fieldsOf(one, other).filter((field) => !same(one?.[field], other?.[field]));
}

/** Do two values of the board say the same, whoever wrote them? */
export function sameValue(one, other) {
  return (one === null) === (other === null) && changedFields(one, other).length === 0;
}

/**
 * Merges. In a conflict `value` has what is mine, and `conflicts` names the
 * fields, or `DELETED`.
 *
 * @param {object | null} base
 * @param {object | null} mine
 * @param {object | null} theirs
 * @returns {{value: object | null, conflicts: string[]}}
 */
export function merge(base, mine, theirs) {
  if (sameValue(mine, theirs) || sameValue(mine, base)) return { value: theirs, conflicts: [] };
  if (sameValue(theirs, base)) return { value: mine, conflicts: [] };
  if (mine === null || theirs === null) return { value: mine, conflicts: [DELETED] };

  const value = {};
  const conflicts = [];
  for (const field of fieldsOf(base, mine, theirs)) {
    const [was, own, other] = [base?.[field], mine[field], theirs[field]];
    let chosen = own;
    if (same(own, was)) chosen = other;
    else if (SETS.has(field)) chosen = mergeSets(was, own, other);
    else if (!same(other, was) && !same(own, other)) conflicts.push(field);
    if (chosen !== undefined) value[field] = chosen;
  }
  const author = sameValue(value, theirs) ? theirs[AUTHOR] : mine[AUTHOR];
  if (author !== undefined) value[AUTHOR] = author;
  return { value, conflicts };
}

/** All that either side added, without what either side took away. */
function mergeSets(base = [], mine = [], theirs = []) {
  const idsOf = (items) => new Set(items.map(({ id }) => id));
  const [before, own, other] = [idsOf(base), idsOf(mine), idsOf(theirs)];
  const kept = theirs.filter(({ id }) => own.has(id) || !before.has(id));
  const added = mine.filter(({ id }) => !other.has(id) && !before.has(id));
  return [...kept, ...added].sort((one, two) => one.at - two.at || (one.id < two.id ? -1 : 1));
}

function fieldsOf(...values) {
  const fields = new Set(values.flatMap((value) => Object.keys(value ?? {})));
  fields.delete(AUTHOR);
  return [...fields];
}
