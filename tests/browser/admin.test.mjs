/**
 * The operator's page in a browser, against the server itself. Every test has a
 * server of its own on a port of its own, so they may run side by side.
 */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { Server, eventually, launchBrowser, openWindow } from "./harness.mjs";
import { KEY, SETTINGS, backend, enterAdmin, startTrace } from "./admin-hands.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const NARROW = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
/** What the browser itself notes of answers that are refusals, and of a server that is gone. */
const NOISE = /status of (400|401|403|404|503)|ERR_CONNECTION|ERR_SOCKET_NOT_CONNECTED|ERR_EMPTY_RESPONSE|WebSocket connection to/;

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

/** A test with its own server; windows are closed and all processes are gone whatever happens. */
function adminTest(name, body, settings = SETTINGS) {
  test(name, { timeout: 120_000 }, async () => {
    const server = await Server.start(settings);
    const windows = [];
    const clients = [];
    try {
      await body({
        server,
        open: async (path = "/admin", options = {}) => {
          const page = await openWindow(browser, new URL(path, server.url).href, options);
          page.setDefaultTimeout(30_000);
          windows.push(page);
          return page;
        },
        user: async (sub, ...rooms) => {
          const client = await server.user(sub);
          clients.push(client);
          const joined = [];
          for (const room of rooms) joined.push(await client.join(room).ready());
          return { client, room: joined[0] };
        },
      });
      for (const page of windows) assert.deepEqual(page.complaints.filter((text) => !NOISE.test(text)), []);
    } finally {
      for (const client of clients) client.close();
      await Promise.allSettled(windows.map((page) => page.context().close()));
      await server.dispose();
    }
  });
}

/** Opens the chat as the user of a token. */
async function signInAs(page, token) {
  await page.getByRole("button", { name: "I have a token" }).click();
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Enter" }).click();
  await page.locator('#connection[data-state="connected"]').waitFor();
}

describe("the way in", { concurrency: 2 }, () => {
  adminTest("a wrong key is told, and a right one is forgotten by a reload unless it is to be kept", async ({ open }) => {
    const page = await open();
    await page.getByLabel("API key").fill("short");
    await page.getByRole("button", { name: "Enter" }).click();
    await page.getByText("at least 8 characters").waitFor();
    await page.getByLabel("API key").fill("a-key-for-nothing");
    await page.getByRole("button", { name: "Enter" }).click();
    await page.getByText("The server does not know this key.").waitFor();
    await enterAdmin(page, KEY);
    await page.locator("#nodes tr").waitFor();
    assert.ok(!page.url().includes(KEY));
    assert.deepEqual(await page.evaluate(() => [Object.values({ ...sessionStorage }), Object.values({ ...localStorage }), document.cookie]), [[], [], ""]);
    await page.reload();
    await enterAdmin(page, KEY, { keep: true });
    await page.reload();
    await page.locator("#nodes tr").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").waitFor();
    await page.reload();
    await page.getByLabel("API key").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  });

  adminTest("where there is no API, that is said", async ({ open }) => {
    const page = await open();
    await page.getByLabel("API key").fill(KEY);
    await page.getByRole("button", { name: "Enter" }).click();
    await page.getByText("There is no backend API here").waitFor();
  }, {});

  adminTest("a key that may do little sees what each part needs, and nothing is asked in vain", async ({ open, user }) => {
    await user("alice", "lobby");
    const page = await open("/admin#room=lobby");
    const asked = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await enterAdmin(page, "a-key-that-reads-rooms");
    await page.locator("#members").getByText("alice").waitFor();
    await page.locator("#tail-needs").getByText("scope history").waitFor();
    await page.locator("#state-needs").getByText("scope history").waitFor();
    await page.locator("#trace-needs").getByText("scope trace").waitFor();
    await page.getByRole("link", { name: "alice" }).click();
    await page.locator("#sessions").getByText("WebSocket").waitFor();
    await page.locator("#disconnect-needs").getByText("scope disconnect").waitFor();
    assert.equal(await page.getByRole("button", { name: /Disconnect/ }).count(), 0);
    await page.getByRole("link", { name: "Overview" }).click();
    await page.locator("#overview-needs").getByText("scope cluster").waitFor();
    assert.deepEqual(asked.filter((path) => /messages|state|nodes|stats|trace/.test(path)), []);
  });
});

describe("looking around", { concurrency: 2 }, () => {
  adminTest("the cluster, the rooms by size and one room are shown, and go on", async ({ server, open, user }) => {
    const { room } = await user("alice", "lobby", "dash:eu");
    await user("bob", "lobby");
    await user("carol", "other");
    const page = await open();
    await enterAdmin(page, KEY);
    await page.locator("#tile-connections").getByText("3", { exact: true }).waitFor();
    await page.locator("#nodes").getByText("Ready").waitFor();
    await page.locator("#tile-broker").getByText("Works").waitFor();
    await page.locator("#chart-rate canvas").waitFor();

    await page.getByRole("link", { name: "Rooms", exact: true }).click();
    await page.getByText("3 rooms").waitFor();
    assert.equal(await page.locator("#rooms-list th").first().textContent(), "lobby");
    await page.getByPlaceholder("Begins with").fill("dash:");
    await page.getByText("1 room", { exact: true }).waitFor();
    assert.ok(page.url().endsWith("#rooms=dash%3A"));
    await page.getByPlaceholder("Begins with").fill("");
    await page.getByText("3 rooms").waitFor();

    await page.getByRole("link", { name: "lobby" }).click();
    await page.locator("#members").getByText("bob").waitFor();
    await room.chat("the first line");
    await page.locator("#tail-list").getByText("the first line").waitFor();
    await room.set("topic", { deep: [1] });
    await page.locator("#state").getByText('{"deep":[1]}').waitFor();
    await user("dora", "lobby");
    await page.locator("#members").getByText("dora").waitFor();
    await backend(server, "POST", "/rooms/lobby/messages", { event: "deploy", data: { version: 2 } });
    await page.locator("#tail-list").getByText("a backend").waitFor();

    // Where it is stands in the address: the way back goes there, and so does a reload.
    await page.getByRole("link", { name: "bob" }).click();
    await page.getByRole("heading", { name: "bob" }).waitFor();
    assert.ok(page.url().endsWith("#user=bob"));
    await page.goBack();
    await page.getByRole("heading", { name: "lobby" }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "room-name");
    await page.goBack();
    await page.getByRole("heading", { name: "Rooms by size" }).waitFor();
  });

  adminTest("more rooms than fit are turned over, and one of many is found", async ({ server, open, user }) => {
    const rooms = Array.from({ length: 60 }, (_, n) => `room-${String(n).padStart(2, "0")}`);
    await backend(server, "POST", "/broadcast", { rooms, content: "x" });
    await user("alice", "room-59");
    const page = await open("/admin#rooms");
    await enterAdmin(page, KEY);
    await page.getByText("60 rooms").waitFor();
    const shown = () => page.locator("#rooms-list th").allTextContents();
    assert.deepEqual(await shown(), ["room-59", ...rooms.slice(0, 49)]);
    await page.getByText("1 of 2").waitFor();
    await page.getByRole("button", { name: "Smaller" }).click();
    assert.deepEqual(await shown(), rooms.slice(49, 59));
    assert.ok(await page.getByRole("button", { name: "Smaller" }).isDisabled());
    await page.getByPlaceholder("Begins with").fill("*-07");
    await page.getByText("1 room", { exact: true }).waitFor();
    assert.deepEqual(await shown(), ["room-07"]);
    await page.reload();
    await enterAdmin(page, KEY);
    await page.getByText("1 room", { exact: true }).waitFor();
    await page.getByPlaceholder("Begins with").fill("ä");
    await page.locator("#rooms-problem").getByText("match").waitFor();
  });

  adminTest("a node that falls silent is told, and one that is gone stays in the list as that", async ({ open }) => {
    const page = await open();
    let other = { node: "n2", reported_at: 0 };
    // A second node as the first would tell of it.
    await page.route("**/api/v1/nodes", async (route) => {
      const response = await route.fetch();
      const { nodes } = await response.json();
      await route.fulfill({ response, json: { nodes: other ? [...nodes, { ...nodes[0], ...other }] : nodes } });
    });
    other.reported_at = Date.now() + 1_000;
    await enterAdmin(page, KEY);
    const row = page.locator("#nodes tr", { hasText: "n2" });
    await row.getByText("Ready").waitFor();
    other = { node: "n2", reported_at: Date.now() - 20_000 };
    await row.getByText("Silent since").waitFor();
    await page.locator("#tile-nodes-more").getByText("1 silent").waitFor();
    other = null;
    await row.getByText("Gone since").waitFor();
    await page.locator("#tile-nodes-more").getByText("1 gone").waitFor();
  });

  adminTest("names and contents are text", async ({ server, open, user }) => {
    const evil = '<img src=x onerror="window.pwned=1">';
    const { room } = await user(evil, "lobby");
    await room.chat(`${evil}<script>window.pwned=1</script>`);
    await room.set(evil, evil);
    const page = await open("/admin#room=lobby");
    await enterAdmin(page, KEY);
    await page.locator("#members").getByText(evil).waitFor();
    await page.locator("#tail-list").getByText("<script>").waitFor();
    await page.locator("#state").getByText("onerror").first().waitFor();
    await startTrace(page, { content: true });
    await room.publish(evil, { evil });
    await page.locator("#trace-list").getByText("onerror").first().waitFor();
    await page.getByRole("link", { name: evil }).first().click();
    await page.getByRole("heading", { name: evil }).waitFor();
    await page.getByRole("button", { name: "Disconnect all" }).click();
    await page.locator("#confirm-title").getByText(evil).waitFor();
    assert.equal(await page.locator("#app img, #app script, #confirm img").count(), 0);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
  });

  adminTest("a hidden tab asks nothing, and goes on at once when it is seen", async ({ open }) => {
    const page = await open();
    await enterAdmin(page, KEY);
    await page.locator("#nodes tr").waitFor();
    let asked = 0;
    page.on("request", () => (asked += 1));
    const see = (hidden) =>
      page.evaluate((value) => {
        Object.defineProperty(document, "hidden", { value, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await see(true);
    // Longer than any poll takes to come again, of which one may be on its way.
    await page.waitForTimeout(1_000);
    asked = 0;
    await page.waitForTimeout(5_000);
    assert.equal(asked, 0);
    await see(false);
    await eventually("the next call", () => asked > 0);
  });

  adminTest("a slow server is not asked again before it answered", async ({ open }) => {
    const page = await open();
    let [open_, most] = [0, 0];
    const waiting = [];
    await page.route("**/api/v1/nodes", async (route) => {
      most = Math.max(most, (open_ += 1));
      await new Promise((resolve) => waiting.push(resolve));
      open_ -= 1;
      await route.continue().catch(() => {});
    });
    await enterAdmin(page, KEY);
    await eventually("the first call", () => waiting.length === 1);
    await page.waitForTimeout(5_000);
    assert.equal(waiting.length, 1);
    waiting.pop()();
    await page.locator("#nodes tr").waitFor();
    await eventually("the second call", () => waiting.length === 1);
    waiting.pop()();
    assert.equal(most, 1);
  });

  adminTest("a server that is gone is told, and found again", async ({ server, open }) => {
    const page = await open();
    await enterAdmin(page, KEY);
    await page.locator("#nodes tr").waitFor();
    await server.stop("SIGKILL");
    await page.getByText("The server does not answer. What is shown is from").waitFor();
    await page.locator("#nodes tr").waitFor();
    await server.start();
    await page.locator("#banner").waitFor({ state: "hidden" });
    await page.locator("#nodes").getByText("Ready").waitFor();
    // Another key by then: it is asked for again.
    await server.stop("SIGKILL");
    await server.start({ ROOKERY__API__KEYS: "another-key-by-now" });
    await page.getByText("The server does not know this key.").waitFor();
  });
});

describe("what is done to users", { concurrency: 2 }, () => {
  adminTest("a disconnect ends another browser's session, once it is confirmed", async ({ server, open }) => {
    const chat = await open("/");
    await signInAs(chat, server.token("bob"));
    const page = await open("/admin#user=bob");
    await enterAdmin(page, KEY);
    await page.locator("#sessions").getByText("WebSocket").waitFor();
    await page.getByRole("button", { name: "Disconnect all" }).click();
    await page.getByText("it may come back at once").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Disconnect all" }).click();
    await page.keyboard.press("Escape");
    await page.locator("#confirm").waitFor({ state: "hidden" });
    assert.equal(await chat.locator("#connection").getAttribute("data-state"), "connected");
    await page.getByRole("button", { name: "Disconnect all" }).click();
    await page.getByLabel("Reason").fill("a test");
    await page.getByRole("button", { name: "Disconnect", exact: true }).click();
    await page.getByText("All nodes were told").waitFor();
    await chat.getByText("You were disconnected by the server.").waitFor();
    await page.getByText("It has no session.").waitFor();
  });

  adminTest("of two sessions one is ended, and the other stays", async ({ open, user }) => {
    const one = await user("alice", "first");
    const two = await user("alice", "second");
    const page = await open("/admin#user=alice");
    await enterAdmin(page, KEY);
    await page.locator("#sessions tr").nth(1).waitFor();
    await page.locator("#sessions tr", { hasText: "first" }).getByRole("button").click();
    await page.getByRole("button", { name: "Disconnect", exact: true }).click();
    await eventually("the end", () => one.client.state === "disconnected");
    await page.locator("#sessions tr", { hasText: "first" }).waitFor({ state: "detached" });
    assert.equal(two.client.state, "connected");
    assert.equal(await page.locator("#sessions tr").count(), 1);
  });

  adminTest("tokens are refused after they were revoked, all of a user or one", async ({ server, open, user }) => {
    const made = Math.floor(Date.now() / 1_000) - 5;
    const page = await open("/admin#user=alice");
    await enterAdmin(page, KEY);
    const accepts = async (claims) => {
      const response = await fetch(new URL("/events", server.url), { headers: { Authorization: `Bearer ${server.token("alice", claims)}` } });
      await response.body.cancel();
      return response.status;
    };
    assert.equal(await accepts({ iat: made, jti: "t-1" }), 200);
    await page.getByPlaceholder("jti of one token").fill("t-1");
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByText("The token with the jti “t-1”").waitFor();
    await page.getByRole("button", { name: "Revoke", exact: true }).click();
    await page.getByText("The token is refused from now on.").waitFor();
    assert.equal(await accepts({ iat: made, jti: "t-1" }), 401);
    assert.equal(await accepts({ iat: made, jti: "t-2" }), 200);
    const { client } = await user("alice", "lobby");
    await page.getByRole("button", { name: "Disconnect and revoke tokens" }).click();
    await page.getByText("every token that was made for it up to now is refused").waitFor();
    await page.locator("#confirm-yes").click();
    await page.getByText("its tokens up to now are refused").waitFor();
    await eventually("the end", () => client.state !== "connected");
    assert.equal(await accepts({ iat: made, jti: "t-2" }), 401);
  });
});

describe("the trace", { concurrency: 2 }, () => {
  adminTest("shows a join and a message of another browser, and the key goes into no address", async ({ server, open }) => {
    const page = await open("/admin#user=bob");
    const addresses = [];
    page.on("websocket", (socket) => addresses.push(socket.url()));
    await enterAdmin(page, KEY);
    await startTrace(page, { content: true });
    const chat = await open("/");
    await signInAs(chat, server.token("bob"));
    const list = page.locator("#trace-list");
    await list.getByText("connected by WebSocket").waitFor();
    await list.getByText("joined at").first().waitFor();
    await chat.getByLabel("Message", { exact: true }).fill("hello, operator");
    await chat.getByLabel("Message", { exact: true }).press("Enter");
    await list.getByText("hello, operator").waitFor();
    assert.deepEqual(addresses.map((address) => new URL(address).pathname + new URL(address).search), ["/api/v1/trace"]);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#trace-state").getByText("Stopped").waitFor();
    const before = await list.locator("li").count();
    await chat.getByLabel("Message", { exact: true }).fill("not for you");
    await chat.getByLabel("Message", { exact: true }).press("Enter");
    await chat.locator("#log .text").getByText("not for you").waitFor();
    assert.equal(await list.locator("li").count(), before);
  });

  adminTest("goes on after the server was gone, and says that something is missing", async ({ server, open, user }) => {
    const { room } = await user("alice", "lobby");
    const page = await open("/admin#room=lobby");
    await enterAdmin(page, "a-key-that-traces");
    await page.getByText("With what is published").waitFor({ state: "hidden" });
    await startTrace(page);
    await room.chat("x");
    await page.locator("#trace-list").getByText("wrote a message, 1 B, at 1").waitFor();
    await server.stop("SIGKILL");
    await page.locator("#trace-state").getByText("The connection is lost").waitFor();
    await server.start();
    await page.locator("#trace-list").getByText("Begun again").waitFor();
    await page.locator("#trace-state").getByText("Running").waitFor();
  });
});

describe("for everybody", { concurrency: 2 }, () => {
  for (const [size, options] of [["wide", {}], ["narrow", NARROW]]) {
    for (const colorScheme of ["light", "dark"]) {
      adminTest(`${size} and ${colorScheme}: named, contrasted, and no wider than the screen`, async ({ open, user }) => {
        const { room } = await user("alice", "lobby", "dash:eu");
        await room.set("topic", "x");
        const page = await open("/admin", { ...options, colorScheme, bypassCSP: true });
        await page.addScriptTag({ path: AXE });
        const check = async (what) => {
          const found = await page.evaluate(() => globalThis.axe.run(document));
          assert.deepEqual(found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(" ")}`), [], what);
          const over = await page.evaluate(() => [...document.querySelectorAll("body, .content, .admin-head")].map((box) => box.scrollWidth - box.clientWidth));
          assert.deepEqual(over.filter((by) => by > 1), [], `${what} is too wide`);
        };
        await check("the entry");
        await enterAdmin(page, KEY);
        await page.locator("#nodes tr").waitFor();
        await check("the overview");
        await page.goto(`${new URL(page.url()).origin}/admin#rooms`);
        await page.locator("#rooms-list tr").first().waitFor();
        await check("the rooms");
        await page.goto(`${new URL(page.url()).origin}/admin#room=lobby`);
        await page.locator("#members tr").waitFor();
        await page.locator("#state tr").waitFor();
        await startTrace(page);
        await room.chat("x");
        await page.locator("#trace-list li").waitFor();
        await check("a room");
        await page.goto(`${new URL(page.url()).origin}/admin#user=alice`);
        await page.locator("#sessions tr").waitFor();
        await check("a user");
        await page.getByRole("button", { name: "Disconnect all" }).click();
        await check("the question");
      });
    }
  }

  adminTest("all of it can be done by keys", async ({ open, user }) => {
    const { client } = await user("alice", "lobby");
    const page = await open();
    await page.getByLabel("API key").press("Tab");
    await page.getByLabel("API key").fill(KEY);
    await page.getByLabel("API key").press("Enter");
    await page.getByRole("heading", { name: "Cluster" }).waitFor();
    await page.getByLabel("Its name, in full").focus();
    await page.keyboard.type("alice");
    await page.keyboard.press("Enter");
    await page.locator("#sessions tr").waitFor();
    const end = page.getByRole("button", { name: "Disconnect the session" });
    await end.focus();
    // Figures change meanwhile; what has the focus keeps it.
    await page.waitForResponse(/sessions$/);
    await page.waitForResponse(/sessions$/);
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Disconnect/);
    await page.keyboard.press("Enter");
    await page.locator("#confirm").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await eventually("the end", () => client.state === "disconnected");
  });
});
