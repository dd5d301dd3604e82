/** What the monitor makes of values and presence, without a page. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Fleet, SAMPLES, SILENT_MS, Samples } from "../../static/agents-fleet.js";

const NOW = 1_800_000_000_000;

/** A room's shared state, and the fleet that follows it. */
function world(states = {}) {
  const shared = new Map();
  const fleet = new Fleet();
  let seq = 0;
  const write = (key, value, now = NOW) => {
    if (value === null) shared.delete(key);
    else shared.set(key, { value, version: (seq += 1) });
    return fleet.take([key], shared, now);
  };
  for (const [key, value] of Object.entries(states)) write(key, value);
  return { fleet, shared, write, agent: (key) => fleet.agents.get(key) };
}

describe("agents", () => {
  test("come, change and go with their keys", () => {
    const { fleet, write, agent } = world();
    assert.deepEqual(write("heron", { name: "Heron", status: "working", tokens: 5 }), { came: ["heron"], went: [] });
    assert.deepEqual(write("heron", { name: "Heron", status: "idle", tokens: 6 }), { came: [], went: [] });
    assert.equal(agent("heron").tokens, 6);
    assert.equal(agent("heron").condition, "idle");
    assert.deepEqual(write("heron", null), { came: [], went: ["heron"] });
    assert.deepEqual(write("heron", null), { came: [], went: [] });
    assert.equal(fleet.agents.size, 0);
  });

  test("may write what they like", () => {
    const { fleet, write, agent } = world();
    for (const [key, value] of Object.entries({ text: "x", number: 1, list: [], empty: {}, wild: { name: 5, tokens: "many", cost: -Infinity, status: null } })) write(key, value);
    assert.deepEqual([...fleet.agents.keys()], ["list", "empty", "wild"]);
    assert.equal(agent("wild").name, "wild");
    assert.equal(agent("wild").tokens + agent("wild").cost, 0);
    assert.equal(agent("wild").condition, "idle");
    write("odd", { status: "on holiday" });
    assert.equal(agent("odd").condition, "on holiday");
    assert.equal(fleet.totals().other, 1);
  });

  test("a key that is no value any more is no agent any more", () => {
    const { write } = world({ heron: { status: "idle" } });
    assert.deepEqual(write("heron", "gone fishing").went, ["heron"]);
  });
});

describe("stale agents", () => {
  test("are gone by presence, silent by time, and live again by a word", () => {
    const { fleet, write, agent } = world({ heron: { status: "working", throughput: 10 } });
    assert.deepEqual(fleet.judge(NOW + SILENT_MS), []);
    assert.deepEqual(fleet.judge(NOW + SILENT_MS + 1), ["heron"]);
    assert.equal(agent("heron").condition, "silent");
    assert.deepEqual(fleet.present(new Map([["heron", "offline"], ["nobody", "online"]]), NOW), ["heron"]);
    assert.equal(agent("heron").condition, "gone");
    assert.equal(fleet.totals().throughput, 0);
    fleet.present(new Map([["heron", "busy"]]), NOW + 20_000);
    assert.equal(agent("heron").condition, "silent");
    write("heron", { status: "idle" }, NOW + 20_000);
    assert.equal(agent("heron").condition, "idle");
  });

  test("who stopped is neither gone nor silent", () => {
    const { fleet, agent } = world({ heron: { status: "stopped" } });
    fleet.present(new Map([["heron", "offline"]]), NOW);
    fleet.judge(NOW + 60_000);
    assert.equal(agent("heron").condition, "stopped");
    assert.equal(agent("heron").isStale || agent("heron").isLive, false);
  });

  test("what was written before the page was opened is as old as it says, not younger", () => {
    const { agent } = world({ old: { at: NOW - 60_000 }, early: { at: NOW + 60_000 }, plain: {} });
    assert.equal(agent("old").condition, "silent");
    assert.deepEqual(["early", "plain"].map((key) => agent(key).heardAt), [NOW, NOW]);
  });
});

describe("figures", () => {
  test("the newest samples, the oldest first, with gaps where nothing was known", () => {
    const samples = new Samples();
    for (let n = 1; n <= SAMPLES + 2; n += 1) samples.push(n);
    assert.deepEqual([...samples.last(3)], [SAMPLES, SAMPLES + 1, SAMPLES + 2]);
    assert.equal(samples.last()[0], 3);
    assert.ok(Number.isNaN(new Samples().last(1)[0]));
  });

  test("a cut is a gap in every line", () => {
    const { fleet, agent } = world({ heron: { status: "working", throughput: 10 } });
    for (const [second, connected] of [true, false, true].entries()) fleet.sample(NOW + second * 1_000, connected);
    assert.deepEqual([...fleet.throughput.last(3)], [10, NaN, 10]);
    assert.deepEqual([...agent("heron").samples.last(3)], [10, NaN, 10]);
    fleet.present(new Map([["heron", "offline"]]), NOW);
    fleet.sample(NOW + 3_000, true);
    assert.deepEqual([...fleet.throughput.last(1), ...agent("heron").samples.last(1)], [0, NaN]);
  });

  test("failures are counted for a minute, from when the page looked, and money by the minute", () => {
    const { fleet, write } = world({ heron: { errors: 7, cost: 1 } });
    write("heron", { errors: 9, cost: 1 });
    write("heron", { errors: 0, cost: 1 }); // a new life: nothing failed by that
    for (let second = 0; second < 60; second += 1) {
      write("heron", { errors: 0, cost: 1 + second / 100 });
      fleet.sample(NOW + second * 1_000, true);
    }
    assert.equal(fleet.failuresPerMinute, 2);
    assert.ok(Math.abs(fleet.costPerMinute - 0.6) < 1e-9, fleet.costPerMinute);
    fleet.sample(NOW + 60_000, true);
    assert.equal(fleet.failuresPerMinute, 0);
  });

  test("every agent is counted once, wherever it is", () => {
    const statuses = ["working", "working", "waiting", "idle", "error", "stopped", "odd", "gone"];
    const { fleet } = world(Object.fromEntries(statuses.map((status, n) => [`a${n}`, { status, tokens: 1, errors: n }])));
    fleet.present(new Map([["a7", "offline"]]), NOW);
    const totals = fleet.totals();
    const { working, waiting, idle, error, stopped, other, stale, live, agents, tokens, errors } = totals;
    assert.deepEqual([working, waiting, idle, error, stopped, other, stale], [2, 1, 1, 1, 1, 1, 1]);
    assert.deepEqual([live, agents, tokens, errors], [6, 8, 8, 28]);
  });
});

describe("a view", () => {
  const { fleet } = world({
    b: { name: "Wren 10", role: "billing", status: "idle", throughput: 1, errors: 2 },
    a: { name: "Wren 9", role: "review", task: "Bill 7", status: "error", throughput: 3 },
    c: { name: "Heron", status: "working", throughput: 3, errors: 0 },
  });
  const keys = (wish) => fleet.view(wish).map(({ key }) => key).join("");

  test("has all in the order of names, as people count", () => assert.equal(keys(), "cab"));
  test("has those with all words", () => {
    assert.equal(keys({ text: "WREN bill" }), "ab");
    assert.equal(keys({ text: "wren billing" }), "b");
    assert.equal(keys({ text: "  " }), "cab");
  });
  test("has those with errors, past or present", () => assert.equal(keys({ errorsOnly: true }), "ab"));
  test("has those in a condition", () => {
    assert.equal(keys({ condition: "working" }), "c");
    assert.equal(keys({ condition: "stale" }), "");
  });
  test("is ordered by a figure, and by name where that is the same", () => {
    assert.equal(keys({ sort: "throughput", falling: true }), "cab");
    assert.equal(keys({ sort: "throughput" }), "bca");
    assert.equal(keys({ sort: "condition" }), "acb");
    assert.equal(keys({ sort: "no such" }), "cab");
  });
});
