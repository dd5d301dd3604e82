/**
 * The table of agents. Only the rows in sight exist; each is a fixed number of
 * pixels high, and is put where it belongs in a box as high as all of them.
 *
 * The grid itself has the focus and names its current row
 * (`aria-activedescendant`), so that nothing is lost when rows come and go.
 */

import { element } from "./chat-log.js";
import { drawSpark } from "./agents-chart.js";
import { CONDITION, ago, count, money, rate, short } from "./agents-format.js";

/** Rows kept above and below what is in sight. */
const MARGIN = 4;
/** Seconds in the small chart of a row. */
const SPARK = 60;

export class Table {
  #grid;
  #box;
  #scroller;
  #onOpen;
  #view = [];
  #rowHeight = 44;
  /** key → Row, of those that exist. */
  #rows = new Map();
  #spare = [];
  #active = null;
  #opened = null;
  #tone = null;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.grid
   * @param {HTMLElement} parts.box holds the rows
   * @param {HTMLElement} parts.scroller what scrolls, with the grid in it
   * @param {(agent: import("./agents-fleet.js").Agent) => void} parts.onOpen
   */
  constructor({ grid, box, scroller, onOpen }) {
    this.#grid = grid;
    this.#box = box;
    this.#scroller = scroller;
    this.#onOpen = onOpen;
    scroller.addEventListener("scroll", () => this.#place(), { passive: true });
    new ResizeObserver(() => this.#measure()).observe(scroller);
    grid.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("click", (event) => {
      const row = event.target.closest("[data-key]");
      if (row) this.#choose(this.#view.findIndex(({ key }) => key === row.dataset.key), true);
    });
  }

  /** Reads the page's tones again. */
  paint(tone) {
    this.#tone = tone;
    this.tick();
  }

  /** Shows these agents, in this order. */
  show(view, now) {
    this.#view = view;
    this.#grid.setAttribute("aria-rowcount", String(view.length + 1));
    this.#box.style.height = `${view.length * this.#rowHeight}px`;
    this.#place(now);
  }

  /** Marks the agent that is shown in full. */
  mark(key) {
    this.#opened = key;
    for (const row of this.#rows.values()) row.mark(row.key === key);
  }

  /** These agents changed: those in sight are written anew. */
  update(keys, now) {
    for (const key of keys) this.#rows.get(key)?.write(now);
  }

  /** A second has passed. */
  tick(now = Date.now()) {
    for (const row of this.#rows.values()) {
      row.write(now);
      row.draw(this.#tone);
    }
  }

  #measure() {
    const height = Number.parseFloat(getComputedStyle(this.#box).getPropertyValue("--row")) || this.#rowHeight;
    if (height !== this.#rowHeight) {
      this.#rowHeight = height;
      this.#box.style.height = `${this.#view.length * height}px`;
    }
    this.#place();
    this.tick();
  }

  /** Makes, moves and takes away rows, so that those in sight are there. */
  #place(now = Date.now()) {
    const top = this.#scroller.getBoundingClientRect().top - this.#box.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.#rowHeight) - MARGIN);
    const last = Math.min(this.#view.length, Math.ceil((top + this.#scroller.clientHeight) / this.#rowHeight) + MARGIN);
    const wanted = new Set();
    for (let n = first; n < last; n += 1) wanted.add(this.#view[n].key);
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      this.#rows.delete(key);
      row.element.remove();
      this.#spare.push(row);
    }
    for (let n = first; n < last; n += 1) {
      const agent = this.#view[n];
      let row = this.#rows.get(agent.key);
      const isNew = !row;
      if (isNew) {
        row = this.#spare.pop() ?? new Row();
        this.#rows.set(agent.key, row);
      }
      row.stand(agent, n, n * this.#rowHeight);
      if (isNew) {
        this.#box.append(row.element);
        row.mark(agent.key === this.#opened);
        row.write(now);
        row.draw(this.#tone);
      }
    }
    this.#pointAt();
  }

  #pointAt() {
    const row = this.#rows.get(this.#active);
    for (const each of this.#rows.values()) each.element.classList.toggle("active", each === row);
    if (row) this.#grid.setAttribute("aria-activedescendant", row.element.id);
    else this.#grid.removeAttribute("aria-activedescendant");
  }

  #choose(index, open) {
    const agent = this.#view[index];
    if (!agent) return;
    this.#active = agent.key;
    const head = this.#grid.querySelector(".grid-head").offsetHeight + this.#grid.offsetTop - this.#grid.parentElement.offsetTop;
    const frame = this.#scroller.getBoundingClientRect();
    const top = this.#box.getBoundingClientRect().top + index * this.#rowHeight;
    const above = frame.top + head - top;
    const below = top + this.#rowHeight - frame.bottom;
    if (above > 0) this.#scroller.scrollTop -= above;
    else if (below > 0) this.#scroller.scrollTop += below;
    this.#place();
    if (open) this.#onOpen(agent);
  }

  #key(event) {
    if (event.target !== this.#grid) return;
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / this.#rowHeight) - 3);
    const at = this.#view.findIndex(({ key }) => key === this.#active);
    const end = this.#view.length - 1;
    const to = {
      ArrowDown: at + 1,
      ArrowUp: Math.max(0, at - 1),
      PageDown: at + page,
      PageUp: Math.max(0, at - page),
      Home: 0,
      End: end,
      Enter: at,
      " ": at,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#choose(Math.min(end, to), event.key === "Enter" || event.key === " ");
  }
}

let made = 0;

/** One row; it stands for one agent after the other. */
class Row {
  #agent = null;
  #texts = new Map();

  constructor() {
    const cell = (name, ...content) => {
      const part = element("div", `cell ${name}`, ...content);
      part.setAttribute("role", "gridcell");
      return part;
    };
    this.name = element("span", "agent-name");
    this.role = element("span", "agent-role");
    this.dot = element("span", "dot");
    this.condition = element("span", "condition-text");
    this.task = element("span", "agent-task");
    this.spark = element("canvas", "spark");
    this.spark.setAttribute("aria-hidden", "true");
    this.figures = {};
    const figure = (name) => (this.figures[name] = cell(`figure ${name}`));
    this.element = element(
      "div",
      "row",
      cell("agent-who", this.name, this.role),
      cell("condition", this.dot, this.condition),
      cell("task", this.task),
      cell("chart", this.spark),
      figure("throughput"),
      figure("tokens"),
      figure("cost"),
      figure("errors"),
      figure("heard"),
    );
    this.element.id = `agent-row-${(made += 1)}`;
    this.element.setAttribute("role", "row");
  }

  get key() {
    return this.#agent?.key;
  }

  stand(agent, index, top) {
    this.#agent = agent;
    this.element.dataset.key = agent.key;
    this.element.style.transform = `translateY(${top}px)`;
    this.element.setAttribute("aria-rowindex", String(index + 2));
    this.element.classList.toggle("even", index % 2 === 1);
  }

  mark(isOpened) {
    this.element.setAttribute("aria-selected", String(isOpened));
  }

  write(now) {
    const agent = this.#agent;
    this.#set(this.name, agent.name);
    this.#set(this.role, agent.role);
    this.#set(this.condition, CONDITION[agent.condition] ?? agent.condition);
    this.#set(this.task, agent.task);
    this.#set(this.figures.throughput, rate(agent.isLive ? agent.throughput : 0));
    this.#set(this.figures.tokens, short(agent.tokens));
    this.#set(this.figures.cost, money(agent.cost));
    this.#set(this.figures.errors, count(agent.errors));
    this.#set(this.figures.heard, ago(now - agent.heardAt));
    if (this.element.dataset.condition !== agent.condition) this.element.dataset.condition = agent.condition;
    const fails = agent.errors > 0 ? "true" : "false";
    if (this.element.dataset.fails !== fails) this.element.dataset.fails = fails;
  }

  draw(tone) {
    if (tone) drawSpark(this.spark, this.#agent.samples.last(SPARK), tone, this.#agent.isStale);
  }

  /** Most of what is written again is what stands there. */
  #set(place, text) {
    if (this.#texts.get(place) === text) return;
    this.#texts.set(place, text);
    place.textContent = text;
  }
}
