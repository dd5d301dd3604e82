/**
 * A server of one room's state and the people on it, in memory, for tests of
 * the board without network: messages wait until the test lets them pass.
 */

import { BoardModel, FIRST_COLUMNS } from "../../static/board-model.js";

/** Random numbers that a seed repeats (mulberry32). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  random.below = (bound) => Math.floor(random() * bound);
  random.of = (items) => items[random.below(items.length)];
  return random;
}

/** Compare-and-set with versions and nonces, as the server does it. */
export class World {
  state = new Map();
  people = [];
  epoch = "one";
  #seq = 0;
  #nonces = new Map();

  write({ key, value, nonce, ifVersion }) {
    if (this.#nonces.has(nonce)) return { seq: this.#nonces.get(nonce) };
    const current = this.state.get(key) ?? { value: null, version: 0 };
    if (ifVersion !== current.version) return { current };
    this.#seq += 1;
    this.#nonces.set(nonce, this.#seq);
    if (value === null) this.state.delete(key);
    else this.state.set(key, { value, version: this.#seq });
    for (const person of this.people) person.hears(key, value, this.#seq);
    return { seq: this.#seq };
  }

  /** The end of the log. */
  get seq() {
    return this.#seq;
  }

  /** Everything in the memory of the process is gone. */
  restart() {
    this.epoch += "'";
    this.#seq = 0;
    this.state.clear();
    this.#nonces.clear();
  }

  /** Lets everything of these people pass until none of them has anything to say. */
  settle({ decide = () => {}, people = this.people } = {}) {
    for (const person of people) person.connect();
    for (let round = 0; ; round += 1) {
      if (round > 1_000) throw new Error("it does not settle");
      let busy = false;
      for (const person of people) {
        for (const key of person.model.pending.keys) {
          if (person.model.pending.stateOf(key) === "conflict") decide(person, key);
        }
        busy = person.step() || person.hear() || busy;
      }
      if (!busy) return;
    }
  }
}

/** One person with a board and a line to the world, which may be down. */
export class Person {
  online = false;
  #world;
  #line = []; // what the server said and did not arrive yet
  #answers = [];
  #queue = []; // writes handed over, as rookery.js holds them

  constructor(world, name) {
    this.#world = world;
    this.name = name;
    world.people.push(this);
    this.model = this.#newModel();
    this.connect();
  }

  #newModel() {
    return new BoardModel(() => ({ user: this.name, name: this.name }));
  }

  get pending() {
    return this.model.pending;
  }

  connect() {
    if (this.online) return;
    this.online = true;
    this.#line = [];
    this.pending.snapshot(this.#world.state, this.#world.epoch, this.#world.seq);
    if (this.#queue.length === 0) this.#queue.push(...this.pending.resumed());
  }

  /** The line breaks; of the writes on their way some arrived, and their answers are lost. */
  disconnect() {
    this.online = false;
    this.#line = [];
    this.#answers = [];
  }

  /** The page is left and opened again. */
  reload() {
    const kept = JSON.parse(JSON.stringify(this.pending));
    const seen = JSON.parse(JSON.stringify(this.pending.seen));
    this.disconnect();
    this.#queue = [];
    this.model = this.#newModel();
    this.pending.snapshot(seen.state, seen.epoch);
    this.pending.restore(kept);
  }

  hears(key, value, version) {
    if (this.online) this.#line.push([key, value, version]);
  }

  /** One message of the server arrives; of different keys in any order. */
  hear(random) {
    if (this.#line.length === 0) return false;
    let at = 0;
    if (random) {
      at = random.below(this.#line.length);
      at = this.#line.findIndex(([key]) => key === this.#line[at][0]);
    }
    this.pending.receive(...this.#line.splice(at, 1)[0]);
    return true;
  }

  /** Hands writes over, writes one, or hears an answer. */
  step({ loseAnswer = false } = {}) {
    if (!this.online) return false;
    this.#queue.push(...this.pending.due(4));
    const answer = this.#answers.shift();
    if (answer) {
      const [write, { seq, current }] = answer;
      this.#queue = this.#queue.filter((each) => each !== write);
      if (current) this.pending.conflicted(write.key, write.nonce, current);
      else this.pending.acknowledged(write.key, write.nonce, seq);
      return true;
    }
    const write = this.#queue[0];
    if (!write) return false;
    const result = this.#world.write(write);
    if (loseAnswer) this.disconnect();
    else this.#answers.push([write, result]);
    return true;
  }

  titles(column) {
    return this.model.column(column).cards.map(({ title }) => title);
  }
}

/** A world with the first columns, and people on it. */
export function boardWith(...names) {
  const world = new World();
  for (const [key, value] of FIRST_COLUMNS) world.write({ key, value, nonce: key, ifVersion: 0 });
  return { world, people: names.map((name) => new Person(world, name)) };
}
