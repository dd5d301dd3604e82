/**
 * The fleet monitor in a browser, against the server itself. Every test has a
 * server of its own on a port of its own, so they may run side by side.
 */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { NETWORK_NOISE, Network, Server, eventually, launchBrowser, openWindow, signIn } from "./harness.mjs";
import { DemoFleet, enterFleet, makeAgent } from "./agents-fleet.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const NARROW = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
/** High enough for the rows of all agents of a test. */
const HIGH = { viewport: { width: 1280, height: 3_600 } };

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

/** A test with its own server and network; windows are closed and all processes are gone whatever happens. */
function fleetTest(name, body) {
  test(name, { timeout: 120_000 }, async () => {
    const server = await Server.start();
    const network = await Network.to(server.url);
    const windows = [];
    const fleets = [];
    const agents = [];
    try {
      await body({
        server,
        network,
        open: async (settings = {}, path = "/agents.html", url = server.url) => {
          const page = await openWindow(browser, new URL(path, url).href, settings);
          page.setDefaultTimeout(30_000);
          windows.push(page);
          return page;
        },
        demo: (...options) => {
          const fleet = new DemoFleet(server.url, ...options);
          fleets.push(fleet);
          return fleet;
        },
        agent: async (user, state, room) => {
          const agent = await makeAgent(server, user, state, room);
          agents.push(agent);
          return agent;
        },
      });
      for (const page of windows) assert.deepEqual(page.complaints.filter((text) => !page.expected?.test(text)), []);
    } finally {
      for (const { client } of agents) client.close();
      await Promise.allSettled(fleets.map((fleet) => fleet.stop("SIGKILL")));
      await Promise.allSettled(windows.map((page) => page.context().close()));
      network.close();
      await server.dispose();
    }
  });
}

const row = (page, user) => page.locator(`#rows [data-key="${user}"]`);
const isIn = (page, user, condition) => page.locator(`#rows [data-key="${user}"][data-condition="${condition}"]`).waitFor();
const names = (page) => page.locator("#rows .agent-name").allTextContents();
const shownNames = async (page) => {
  // Rows stand in the order they were made in; what counts is where they are.
  const rows = await page.locator("#rows .row").evaluateAll((all) =>
    all.map((each) => [Number(each.getAttribute("aria-rowindex")), each.querySelector(".agent-name").textContent]),
  );
  return rows.sort(([one], [other]) => one - other).map(([, name]) => name);
};
/** Does a canvas show anything? */
const isDrawn = (canvas) =>
  canvas.evaluate((element) => {
    const { width, height } = element;
    if (width === 0 || height === 0) return false;
    // Read from a copy: the page's own canvas is not made for being read.
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(element, 0, 0);
    return copy.getImageData(0, 0, width, height).data.some((byte) => byte !== 0);
  });

describe("a fleet", { concurrency: 2 }, () => {
  fleetTest("plays as soon as the command is given, with a line for each and one for all", async ({ open, demo }) => {
    const page = await open();
    await enterFleet(page);
    await page.getByText("rookery demo agents --url ws://127.0.0.1:").waitFor();
    await page.getByRole("heading", { name: "No agents here yet" }).waitFor();

    demo("--agents", "30", "--rate", "10");
    await page.getByText("30 agents").waitFor();
    await page.locator("#empty").waitFor({ state: "hidden" });
    assert.equal(await page.locator("#grid").getAttribute("aria-rowcount"), "31");
    await page.locator("#events-list li").nth(2).waitFor();
    await eventually("a throughput", async () => Number((await page.locator("#tile-throughput").textContent()).replaceAll(",", "")) > 50);
    await eventually("the chart", () => isDrawn(page.locator("#chart canvas")));
    await eventually("the line of an agent", () => isDrawn(page.locator("#rows .row canvas").first()));

    // Of thirty rows only those in sight exist.
    const rows = await page.locator("#rows .row").count();
    assert.ok(rows > 5 && rows < 25, `${rows} rows`);
    assert.ok(!(await names(page)).includes("Yellowhammer 1"));
    await page.locator("#grid").focus();
    await page.keyboard.press("End");
    await page.locator("#rows").getByText("Yellowhammer 1").waitFor();
  });

  fleetTest("shows the same last values in two windows, one of them slow, cut off and back", async ({ server, network, open, demo }) => {
    const [steady, shaky] = [await open(HIGH), await open(HIGH, "/agents.html", network.url)];
    shaky.expected = NETWORK_NOISE;
    const cdp = await shaky.context().newCDPSession(shaky);
    await cdp.send("Network.enable");
    await cdp.send("Network.emulateNetworkConditions", { offline: false, latency: 300, downloadThroughput: 20_000, uploadThroughput: 10_000 });
    await cdp.send("Emulation.setCPUThrottlingRate", { rate: 4 });
    for (const page of [steady, shaky]) await enterFleet(page);

    const fleet = demo("--agents", "60", "--rate", "10", "--steady");
    for (const page of [steady, shaky]) await page.getByText("60 agents").waitFor();
    network.cut();
    await shaky.locator('#connection[data-state="connecting"]').waitFor();
    await shaky.getByText("What is shown here is from before.").waitFor();
    // It goes on meanwhile.
    const before = await steady.locator("#tile-tokens").textContent();
    await eventually("the fleet to go on", async () => (await steady.locator("#tile-tokens").textContent()) !== before);
    network.heal();
    await shaky.locator('#connection[data-state="connected"]').waitFor({ timeout: 60_000 });

    assert.equal(await fleet.stop(), 0, fleet.said);
    const witness = await server.guest("Witness");
    const room = await witness.join("agents:demo").ready();
    const truth = [...room.shared].map(([key, { value }]) => `${key} ${value.status} ${value.tokens} ${value.errors}`).sort();
    witness.close();
    assert.equal(truth.length, 60);
    assert.ok(truth.every((line) => line.includes(" stopped ")), truth.join("\n"));
    for (const page of [steady, shaky]) {
      const shown = () =>
        page.locator("#rows .row").evaluateAll((rows) =>
          rows
            .map((each) => {
              const text = (name) => each.querySelector(`.cell.${name}`).textContent;
              return `${each.dataset.key} ${text("condition").toLowerCase()} ${text("tokens").replaceAll(",", "")} ${text("errors")}`;
            })
            .sort(),
        );
      await eventually("the last values", async () => (await shown()).join() === truth.join()).catch(async () => assert.deepEqual(await shown(), truth));
    }
  });

  fleetTest("events are there after a cut, each once", async ({ open, network, agent }) => {
    const heron = await agent("heron");
    await heron.tell("task_started", { task: "Ticket 1" });
    const page = await open({}, "/agents.html", network.url);
    page.expected = NETWORK_NOISE;
    await enterFleet(page);
    await page.getByText("took up Ticket 1").waitFor();
    network.cut();
    await page.locator('#connection[data-state="connecting"]').waitFor();
    await heron.tell("task_failed", { task: "Ticket 1", reason: "<b>no</b> answer" });
    await heron.tell("task_started", { task: "Ticket 2" });
    network.heal();
    await page.getByText("took up Ticket 2").waitFor();
    const lines = await page.locator("#events-list p").allTextContents();
    assert.deepEqual(lines, ["heron took up Ticket 2", "heron failed at Ticket 1: <b>no</b> answer", "heron took up Ticket 1"]);
    await page.getByLabel("Failures only").check();
    await page.getByText("took up Ticket 2").waitFor({ state: "detached" });
    assert.equal(await page.locator("#events-list li").count(), 1);
  });
});

describe("stale agents", { concurrency: 2 }, () => {
  fleetTest("who is no member any more is gone, until it comes back", async ({ open, agent }) => {
    const heron = await agent("heron", { status: "working", throughput: 50 });
    await agent("wren");
    const page = await open();
    await enterFleet(page);
    await isIn(page, "heron", "working");
    await page.locator("#tile-throughput").getByText("50").waitFor();
    heron.client.close();
    await isIn(page, "heron", "gone");
    await eventually("its throughput to count no more", async () => (await page.locator("#tile-throughput").textContent()) === "0");
    await page.locator("#tile-stale").getByText("1").waitFor();
    await row(page, "heron").locator(".throughput").getByText("0.0").waitFor();

    const again = await agent("heron", { status: "working", throughput: 20 });
    await isIn(page, "heron", "working");
    await again.vanish();
    await row(page, "heron").waitFor({ state: "detached" });
    assert.deepEqual(await names(page), ["wren"]);
  });

  fleetTest("who is there and says nothing is silent, unless it is this page that was cut off", async ({ open, network, agent }) => {
    const heron = await agent("heron", { status: "working" });
    const wren = await agent("wren", { status: "stopped" });
    heron.fallSilent();
    const page = await open({}, "/agents.html", network.url);
    page.expected = NETWORK_NOISE;
    await enterFleet(page);
    await isIn(page, "heron", "silent");
    await isIn(page, "wren", "stopped");
    await heron.write({ status: "waiting" });
    await isIn(page, "heron", "waiting");
    await wren.write({ status: "idle" });
    network.cut();
    await page.locator('#connection[data-state="connecting"]').waitFor();
    const [since] = await Promise.all([row(page, "heron").locator(".heard").textContent(), page.waitForFunction(() => /1\d\ss/.test(document.querySelector('[data-key="heron"] .heard').textContent))]);
    assert.ok(since, "how long it was not heard is shown all the same");
    await isIn(page, "heron", "waiting");
    network.heal();
    await page.locator('#connection[data-state="connected"]').waitFor();
    await isIn(page, "heron", "silent");
  });

  fleetTest("an agent that was there before the page is as old as it says, and none is younger than now", async ({ server, open, agent }) => {
    const heron = await agent("heron", { status: "working" });
    const client = await server.user("old");
    const room = await client.join("agents:demo").ready();
    await room.set("old", { status: "working", at: Date.now() - 3_600_000 });
    await room.set("early", { status: "working", at: Date.now() + 3_600_000 });
    await room.set("strange", "no object");
    const page = await open();
    await enterFleet(page);
    await row(page, "old").getByText("60 min").waitFor();
    await isIn(page, "old", "silent");
    await isIn(page, "early", "gone");
    assert.equal(await row(page, "strange").count(), 0);
    await heron.write({ status: "idle" });
    client.close();
  });
});

describe("looking around", { concurrency: 2 }, () => {
  const FLEET = {
    heron: { name: "Heron 1", role: "support", status: "working", task: "Ticket 9", throughput: 12, tokens: 900, cost: 2, errors: 0 },
    wren: { name: "Wren 10", role: "billing", status: "error", throughput: 0, tokens: 100, cost: 9, errors: 3 },
    teal: { name: "Wren 9", role: "billing", status: "idle", throughput: 99, tokens: 50_000, cost: 1, errors: 1 },
    gone: { name: "Gannet 2", role: "review", status: "waiting", throughput: 5, tokens: 7, cost: 0, errors: 0 },
  };
  const fill = async (agent) => {
    const made = await Promise.all(Object.entries(FLEET).map(([user, state]) => agent(user, state)));
    made[3].client.close();
    return made;
  };

  fleetTest("agents are found by words, status and errors, and ordered by every figure", async ({ open, agent }) => {
    await fill(agent);
    const page = await open();
    await enterFleet(page);
    await isIn(page, "gone", "gone");
    assert.deepEqual(await shownNames(page), ["Gannet 2", "Heron 1", "Wren 9", "Wren 10"]);
    const order = async (label) => {
      await page.getByRole("columnheader", { name: label }).getByRole("button").click();
      return shownNames(page);
    };
    assert.deepEqual(await order("Agent"), ["Wren 10", "Wren 9", "Heron 1", "Gannet 2"]);
    assert.deepEqual(await order("Status"), ["Wren 10", "Gannet 2", "Heron 1", "Wren 9"]);
    assert.deepEqual(await order("Tokens/s"), ["Wren 9", "Heron 1", "Gannet 2", "Wren 10"]);
    assert.deepEqual(await order("Errors"), ["Wren 10", "Wren 9", "Gannet 2", "Heron 1"]);
    assert.equal(await page.getByRole("columnheader", { name: "Errors" }).getAttribute("aria-sort"), "descending");
    assert.equal(await page.locator("#grid [aria-sort]").count(), 1);

    const search = page.getByLabel("Find agents");
    await search.fill("wren bill");
    assert.deepEqual(await shownNames(page), ["Wren 10", "Wren 9"]);
    await page.getByRole("status").getByText("2 of 4 agents").waitFor();
    await page.getByLabel("Status", { exact: true }).selectOption("idle");
    assert.deepEqual(await shownNames(page), ["Wren 9"]);
    await search.fill("nobody is called so");
    await page.getByText("No agent is as the filters want it.").waitFor();
    await page.getByRole("button", { name: "Clear the filters" }).click();
    assert.equal((await shownNames(page)).length, 4);
    await page.getByLabel("Errors only").check();
    assert.deepEqual(await shownNames(page), ["Wren 10", "Wren 9"]);
    await page.getByLabel("Errors only").uncheck();
    await page.getByLabel("Status", { exact: true }).selectOption("stale");
    await eventually("the gone one alone", async () => (await shownNames(page)).includes("Gannet 2"));
  });

  fleetTest("by keyboard: to an agent, into it and out again", async ({ open, agent }) => {
    const made = await fill(agent);
    const page = await open();
    await enterFleet(page);
    await row(page, "teal").waitFor();
    await made[2].tell("task_finished", { task: "Invoice 4", seconds: 75 });
    await made[0].tell("task_started", { task: "Ticket 9" });
    await page.locator("#grid").focus();
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowDown"]) await page.keyboard.press(key);
    const active = () => page.evaluate(() => document.getElementById(document.getElementById("grid").getAttribute("aria-activedescendant"))?.dataset.key);
    assert.equal(await active(), "teal");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Wren 9" }).waitFor();
    await page.locator("#agent").getByText("50,000").waitFor();
    assert.equal(await row(page, "teal").getAttribute("aria-selected"), "true");
    await page.getByText("finished Invoice 4 in 75 s").waitFor();
    assert.equal(await page.locator("#events-list li").count(), 1);
    await eventually("its chart", () => isDrawn(page.locator("#agent-chart canvas")));
    await made[2].write({ tokens: 50_001 });
    await page.locator("#agent").getByText("50,001").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: "Wren 9" }).waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.id), "grid");
    assert.equal(await page.locator("#events-list li").count(), 2);
  });

  fleetTest("values change once a frame at most, and once a second where motion is to be reduced", async ({ open, agent }) => {
    const heron = await agent("heron");
    const [quick, calm] = [await open(), await open({ reducedMotion: "reduce" })];
    for (const page of [quick, calm]) {
      await enterFleet(page);
      await row(page, "heron").waitFor();
      await page.evaluate(() => {
        globalThis.changes = [];
        const cell = document.querySelector('[data-key="heron"] .tokens');
        new MutationObserver(() => globalThis.changes.push([performance.now(), cell.textContent])).observe(cell, { childList: true, characterData: true, subtree: true });
      });
    }
    const end = Date.now() + 4_000;
    for (let tokens = 1; Date.now() < end; tokens += 1) await heron.write({ tokens });
    const last = String(heron.state.tokens);
    const seen = (page) => page.evaluate(() => globalThis.changes);
    for (const page of [quick, calm]) {
      await eventually("the last value", async () => (await seen(page)).at(-1)?.[1].replaceAll(",", "") === last);
    }
    const [many, few] = [await seen(quick), await seen(calm)];
    assert.ok(few.length <= 10, `${few.length} changes for calm eyes`);
    assert.ok(many.length > few.length, `${many.length} and ${few.length}`);
    assert.ok(many.length <= heron.state.tokens);
  });

  fleetTest("the page before is remembered, and the pages lead to each other", async ({ open, agent }) => {
    await agent("heron");
    const page = await open({}, "/");
    await signIn(page, "Ada");
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Agents" }).click();
    await row(page, "heron").waitFor();
    assert.equal(await page.locator("#self-name").textContent(), "Ada");
    await page.getByRole("link", { name: "Chat" }).click();
    await page.locator("#members").getByText("Ada (you)").waitFor();
    await page.goBack();
    await row(page, "heron").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Your name").waitFor();
  });

  fleetTest("another room is another fleet, and the command says so", async ({ open, agent }) => {
    await agent("heron");
    const page = await open({}, "/agents.html?room=fleet:eu");
    await enterFleet(page);
    await page.locator("#empty-command").getByText("--room fleet:eu").waitFor();
    await agent("wren", {}, "fleet:eu");
    await row(page, "wren").waitFor();
    assert.deepEqual(await names(page), ["wren"]);
  });

  fleetTest("who may not into the room is told so", async ({ server, open, agent }) => {
    await agent("heron");
    const page = await open();
    await page.getByRole("button", { name: "I have a token" }).click();
    await page.getByLabel("Token", { exact: true }).fill(server.token("carol", { grants: { lobby: ["join"] } }));
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "This room is not open to you" }).waitFor();
    await page.locator("#refused").getByRole("alert").getByText(/join/).waitFor();
    assert.equal(await page.locator("#grid").isVisible(), false);
    assert.notEqual(await page.locator("#events-problem").textContent(), "");
  });

  fleetTest("at 390 px: nothing overflows, an agent and the events open in a drawer", async ({ open, agent }) => {
    const heron = await agent("heron", { name: "A heron whose name is longer than any name has to be", task: "x".repeat(90), tokens: 123_456_789, cost: 12_345, errors: 99 });
    const page = await open(NARROW);
    await enterFleet(page);
    await row(page, "heron").waitFor();
    await heron.tell("task_started", { task: "averylongword".repeat(20) });
    const overflow = () => page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.getElementById("fleet").scrollWidth) - innerWidth);
    assert.ok((await overflow()) <= 0);
    await page.getByLabel("Order").selectOption("errors");
    await row(page, "heron").tap();
    await page.getByRole("heading", { name: /longer than any name/ }).waitFor();
    await page.getByRole("button", { name: "Close the agent" }).tap();
    await page.locator("#side").waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Events" }).tap();
    await page.getByText("took up averylongword").waitFor();
    assert.ok((await overflow()) <= 0);
    await page.keyboard.press("Escape");
    await page.locator("#side").waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.id), "events-open");
  });

  for (const [what, settings] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["narrow", NARROW],
  ]) {
    fleetTest(`no fault that axe finds, ${what}`, async ({ open, agent }) => {
      const page = await open({ ...settings, bypassCSP: true });
      await page.addScriptTag({ path: AXE });
      const faults = async () => {
        // What fades or moves has no colour of its own yet.
        await page.evaluate(() => Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {}))));
        const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
      };
      assert.deepEqual(await faults(), []);
      await enterFleet(page);
      await page.getByRole("heading", { name: "No agents here yet" }).waitFor();
      assert.deepEqual(await faults(), []);
      const [heron] = await fill(agent);
      await isIn(page, "gone", "gone");
      await heron.tell("task_failed", { task: "Ticket 9", reason: "no answer" });
      await page.locator("#events-list li").waitFor({ state: "attached" });
      assert.deepEqual(await faults(), []);
      await row(page, "wren").click();
      await page.getByRole("heading", { name: "Wren 10" }).waitFor();
      assert.deepEqual(await faults(), []);
    });
  }
});
