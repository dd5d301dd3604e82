/** Figures as people read them. */

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const dollars = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const count = (value) => whole.format(value);
export const rate = (value) => (value >= 1_000 ? whole : tenths).format(value);
export const short = (value) => (value >= 10_000 ? compact : whole).format(value);
export const money = (value) => dollars.format(value);
export const time = (at) => clock.format(at);
export const minute = (at) => hours.format(at);

/** How long ago something was, in milliseconds. */
export function ago(ms) {
  return ms < 2_000 ? "now" : span(ms);
}

/** How long something took, in milliseconds. */
export function span(ms) {
  const seconds = Math.max(1, Math.floor(ms / 1_000));
  if (seconds < 100) return `${seconds}\u00a0s`;
  if (seconds < 6_000) return `${Math.round(seconds / 60)}\u00a0min`;
  return `${Math.round(seconds / 3_600)}\u00a0h`;
}

/** A condition as a word. */
export const CONDITION = {
  working: "Working",
  waiting: "Waiting",
  idle: "Idle",
  error: "Error",
  silent: "Silent",
  gone: "Gone",
  stopped: "Stopped",
};
