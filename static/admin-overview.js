/** The nodes, what they hold, and how that goes over time. */

import { element } from "./chat-log.js";
import { Chart } from "./agents-chart.js";
import { count, rate, short, time } from "./agents-format.js";
import { Poll } from "./admin-api.js";
import { lasts, rows } from "./admin-format.js";

const EVERY_MS = 2_000;
/** Samples kept: ten minutes. */
const KEPT = 300;
/** A node says every second how it is. */
const SILENT_MS = 5_000;

const $ = (id) => document.getElementById(id);

export class Overview {
  #poll = null;
  #charts = null;
  #samples = [];
  /** Nodes that were there once: name and start → the last report, and since when it is gone. */
  #known = new Map();

  begin({ api, heard }) {
    const may = api.may("cluster");
    $("overview-needs").hidden = may;
    $("overview-needs").textContent = "This needs a key with the scope cluster.";
    $("overview-body").hidden = !may;
    if (!may) return;
    this.#charts ??= ["chart-connections", "chart-rate"].map(
      (id) => new Chart($(id), { height: 132, series: [{ tone: "line", scale: id, format: short }] }),
    );
    this.#poll = new Poll(EVERY_MS, async (signal) => {
      try {
        const [{ nodes }, { broker }] = await Promise.all([api.get("/nodes", signal), api.get("/stats", signal)]);
        heard(null);
        this.#draw(nodes, broker, Date.now());
      } catch (error) {
        if (signal.aborted) return;
        heard(error);
      }
    });
  }

  end() {
    this.#poll?.end();
    this.#poll = null;
  }

  #draw(nodes, broker, now) {
    const sum = (field) => nodes.reduce((total, node) => total + node[field], 0);
    const write = (id, text) => ($(id).textContent = text);
    const silent = nodes.filter((node) => isSilent(node, nodes)).length;
    const gone = this.#remember(nodes, now);
    write("tile-nodes", count(nodes.length));
    write("tile-nodes-more", silent ? `${silent} silent` : gone ? `${gone} gone` : nodes.every((node) => node.ready) ? "all ready" : "not all ready");
    write("tile-connections", count(sum("connections")));
    write("tile-connections-more", `of ${count(sum("max_connections"))}`);
    write("tile-users", count(sum("users")));
    write("tile-rooms", count(sum("rooms")));
    write("tile-rate", rate(sum("messages_per_second")));
    write("tile-messages", `${short(sum("messages"))} since the nodes began`);
    write("tile-broker", broker.ok ? "Works" : "Away");
    write("tile-broker-more", broker.kind);
    $("tile-broker-box").dataset.bad = String(!broker.ok);

    this.#samples.push([now / 1_000, sum("connections"), sum("messages_per_second")]);
    if (this.#samples.length > KEPT) this.#samples.shift();
    const [times, connections, rates] = [0, 1, 2].map((n) => Float64Array.from(this.#samples, (sample) => sample[n]));
    this.#charts[0].draw(times, connections);
    this.#charts[1].draw(times, rates);

    rows(
      $("nodes"),
      [...this.#known.values()],
      ({ node }) => `${node.node} ${node.started_at}`,
      ({ node, goneAt }) => {
        const state = goneAt ? ["gone", `Gone since ${time(goneAt)}`] : stateOf(node, nodes);
        const figures = [node.connections, node.users, node.rooms].map((figure) => cell(goneAt ? "–" : count(figure)));
        const up = goneAt ? "–" : lasts(now - node.started_at);
        return [node.node, badge(...state), node.version, cell(up), ...figures, cell(goneAt ? "–" : rate(node.messages_per_second))];
      },
    );
  }

  /** Notes who is there; answers how many are gone that were. */
  #remember(nodes, now) {
    const there = new Set(nodes.map(({ node, started_at: began }) => `${node} ${began}`));
    for (const node of nodes) this.#known.set(`${node.node} ${node.started_at}`, { node, goneAt: null });
    let gone = 0;
    for (const [key, entry] of this.#known) {
      if (there.has(key)) continue;
      // One that came back under its name takes its place.
      if (nodes.some(({ node }) => node === entry.node.node)) this.#known.delete(key);
      else {
        entry.goneAt ??= now;
        gone += 1;
      }
    }
    return gone;
  }
}

/** By the newest report of all: clocks of this machine and of theirs may differ. */
function isSilent(node, nodes) {
  return Math.max(...nodes.map(({ reported_at: at }) => at)) - node.reported_at > SILENT_MS;
}

function stateOf(node, nodes) {
  if (isSilent(node, nodes)) return ["silent", `Silent since ${time(node.reported_at)}`];
  if (node.draining) return ["draining", "Draining"];
  return node.ready ? ["ready", "Ready"] : ["unready", "Not ready"];
}

const cell = (text) => element("span", "figure", text);

function badge(state, text) {
  const made = element("span", `state ${state}`, element("span", "dot"), text);
  made.firstChild.setAttribute("aria-hidden", "true");
  return made;
}
