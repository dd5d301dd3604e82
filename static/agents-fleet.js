/**
 * What is known of a fleet: its agents, whether each is still there, and how
 * its figures went over the last minutes. It knows no elements, no connection
 * and no clock.
 */

/** A figure is kept each second, for so many seconds. */
export const SAMPLES = 300;
/** An agent that is there but has said nothing for so long is silent. */
export const SILENT_MS = 10_000;
/** Failures are counted over so many seconds. */
const FAILURE_WINDOW = 60;

/** What an agent may say it does; anything else is shown as it is written. */
const STATUSES = new Set(["working", "waiting", "idle", "error", "stopped"]);

const collator = new Intl.Collator(undefined, { numeric: true });

/** The order of conditions: what wants attention first. */
const RANK = new Map(["error", "gone", "silent", "waiting", "working", "idle", "stopped"].map((name, rank) => [name, rank]));

const COMPARE = {
  name: (one, other) => collator.compare(one.name, other.name),
  condition: (one, other) => (RANK.get(one.condition) ?? 9) - (RANK.get(other.condition) ?? 9),
  throughput: (one, other) => one.throughput - other.throughput,
  tokens: (one, other) => one.tokens - other.tokens,
  cost: (one, other) => one.cost - other.cost,
  errors: (one, other) => one.errors - other.errors,
  heard: (one, other) => other.heardAt - one.heardAt,
};

/** The last values of one figure, a second apart; `NaN` where there was none. */
export class Samples {
  #values = new Float64Array(SAMPLES).fill(NaN);
  #next = 0;

  push(value) {
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % SAMPLES;
  }

  /** The newest `count` of them, the oldest first. */
  last(count = SAMPLES) {
    const values = new Float64Array(count);
    for (let n = 0; n < count; n += 1) values[n] = this.#values[(this.#next - count + n + SAMPLES) % SAMPLES];
    return values;
  }
}

/** One agent: what it said last, and what became of it. */
export class Agent {
  version = 0;
  /** `online`, `offline`, or null where nobody knows. */
  presence = null;
  /** Its own status, or `silent`, or `gone`. */
  condition = "idle";
  /** When it said so, in milliseconds since the epoch. */
  heardAt = 0;
  samples = new Samples();

  constructor(key) {
    /** Its user id. */
    this.key = key;
  }

  /** Takes over what it wrote. */
  take(value, version, heardAt) {
    const text = (field) => (typeof value[field] === "string" ? value[field] : "");
    const number = (field) => (Number.isFinite(value[field]) ? value[field] : 0);
    this.version = version;
    this.heardAt = heardAt;
    this.name = text("name") || this.key;
    this.role = text("role");
    this.status = text("status") || "idle";
    this.task = text("task");
    this.throughput = number("throughput");
    this.tokens = number("tokens");
    this.cost = number("cost");
    this.tasks = number("tasks");
    this.errors = number("errors");
    this.words = `${this.name} ${this.role} ${this.task} ${this.key}`.toLowerCase();
  }

  judge(now) {
    const ended = this.status === "stopped";
    if (this.presence === "offline") this.condition = ended ? "stopped" : "gone";
    else if (!ended && now - this.heardAt > SILENT_MS) this.condition = "silent";
    else this.condition = this.status;
  }

  /** Is it there, and does it speak? */
  get isLive() {
    return this.condition !== "gone" && this.condition !== "silent" && this.condition !== "stopped";
  }

  get isStale() {
    return this.condition === "gone" || this.condition === "silent";
  }
}

export class Fleet {
  /** key → Agent */
  agents = new Map();
  /** When each sample was taken, in seconds since the epoch. */
  times = new Samples();
  throughput = new Samples();
  failures = new Samples();
  costs = new Samples();
  #failed = 0;
  #failedEach = new Array(FAILURE_WINDOW).fill(0);

  /**
   * These keys of the shared state changed.
   *
   * @param {Iterable<string>} keys
   * @param {ReadonlyMap<string, {value: unknown, version: number}>} shared
   * @param {number} now
   * @returns {{came: string[], went: string[]}}
   */
  take(keys, shared, now) {
    const came = [];
    const went = [];
    for (const key of keys) {
      const entry = shared.get(key);
      let agent = this.agents.get(key);
      if (typeof entry?.value !== "object" || entry.value === null) {
        if (this.agents.delete(key)) went.push(key);
      } else if (!agent) {
        agent = new Agent(key);
        this.agents.set(key, agent);
        came.push(key);
        // What it wrote before anybody looked may be old; its clock is not ours, so it is believed about the past alone.
        agent.take(entry.value, entry.version, Math.min(now, Number.isFinite(entry.value.at) ? entry.value.at : now));
        agent.judge(now);
      } else if (entry.version !== agent.version) {
        const before = agent.errors;
        agent.take(entry.value, entry.version, now);
        this.#failed += Math.max(0, agent.errors - before);
        agent.judge(now);
      }
    }
    return { came, went };
  }

  /** What presence says of users; those that changed. */
  present(users, now) {
    const changed = [];
    for (const [user, status] of users) {
      const agent = this.agents.get(user);
      if (!agent) continue;
      agent.presence = status === "offline" ? "offline" : "online";
      agent.judge(now);
      changed.push(user);
    }
    return changed;
  }

  /** Time has passed; the keys of those that fell silent by it. */
  judge(now) {
    const changed = [];
    for (const agent of this.agents.values()) {
      const before = agent.condition;
      agent.judge(now);
      if (agent.condition !== before) changed.push(agent.key);
    }
    return changed;
  }

  /** Keeps the figures of this second; nothing is known while there is no connection. */
  sample(now, connected) {
    const totals = this.totals();
    this.#failedEach.push(this.#failed);
    this.#failedEach.shift();
    this.#failed = 0;
    this.times.push(now / 1_000);
    this.throughput.push(connected ? totals.throughput : NaN);
    this.failures.push(connected ? this.failuresPerMinute : NaN);
    this.costs.push(connected ? totals.cost : NaN);
    for (const agent of this.agents.values()) {
      agent.samples.push(connected && !agent.isStale ? (agent.isLive ? agent.throughput : 0) : NaN);
    }
  }

  get failuresPerMinute() {
    return this.#failedEach.reduce((sum, count) => sum + count, 0);
  }

  /** Dollars in the last minute, as far back as it is known. */
  get costPerMinute() {
    const known = this.costs.last(60).filter((cost) => !Number.isNaN(cost));
    return known.length < 2 ? 0 : Math.max(0, ((known.at(-1) - known[0]) / (known.length - 1)) * 60);
  }

  /** The fleet as a whole. What an agent that is gone did last is no throughput any more. */
  totals() {
    const totals = { agents: this.agents.size, live: 0, stale: 0, working: 0, waiting: 0, idle: 0, error: 0, stopped: 0, other: 0 };
    Object.assign(totals, { throughput: 0, tokens: 0, cost: 0, tasks: 0, errors: 0 });
    for (const agent of this.agents.values()) {
      if (agent.isStale) totals.stale += 1;
      else totals[STATUSES.has(agent.condition) ? agent.condition : "other"] += 1;
      if (agent.isLive) {
        totals.live += 1;
        totals.throughput += agent.throughput;
      }
      totals.tokens += agent.tokens;
      totals.cost += agent.cost;
      totals.tasks += agent.tasks;
      totals.errors += agent.errors;
    }
    return totals;
  }

  /**
   * The agents to be shown, in order.
   *
   * @param {object} wish
   * @param {string} wish.text words that all have to be there
   * @param {string} wish.condition one of them, `stale` or empty for any
   * @param {boolean} wish.errorsOnly
   * @param {string} wish.sort a key of `COMPARE`
   * @param {boolean} wish.falling
   */
  view({ text = "", condition = "", errorsOnly = false, sort = "name", falling = false } = {}) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = [...this.agents.values()].filter(
      (agent) =>
        (!errorsOnly || agent.errors > 0 || agent.condition === "error") &&
        (condition === "" || agent.condition === condition || (condition === "stale" && agent.isStale)) &&
        words.every((word) => agent.words.includes(word)),
    );
    const compare = COMPARE[sort] ?? COMPARE.name;
    const sign = falling ? -1 : 1;
    return shown.sort((one, other) => sign * compare(one, other) || COMPARE.name(one, other) || (one.key < other.key ? -1 : 1));
  }
}
