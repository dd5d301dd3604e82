/**
 * The chat page in a browser, against the server itself. Every test has a
 * server of its own on a port of its own, so they may run side by side.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { NETWORK_NOISE, Network, Server, launchBrowser, openWindow, say, signIn, texts } from "./harness.mjs";

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

/** A test with its own server and network; windows are closed and the server is gone whatever happens. */
function pageTest(name, options, body = options) {
  const env = options.env ?? {};
  test(name, { timeout: 90_000 }, async () => {
    const server = await Server.start(env);
    const network = await Network.to(server.url);
    const windows = [];
    const clients = [];
    try {
      await body({
        server,
        network,
        open: async (path = "/", settings) => {
          const page = await openWindow(browser, new URL(path, server.url).href, settings);
          page.setDefaultTimeout(20_000);
          windows.push(page);
          return page;
        },
        guest: async (guestName) => {
          const client = await server.guest(guestName);
          clients.push(client);
          return client;
        },
      });
      for (const page of windows) assert.deepEqual(page.complaints.filter((text) => !page.expected?.test(text)), []);
    } finally {
      for (const client of clients) client.close();
      await Promise.allSettled(windows.map((page) => page.context().close()));
      network.close();
      await server.dispose();
    }
  });
}

const message = (page, text) => page.locator("#log .text").filter({ hasText: new RegExp(`^${text}$`) });
const inState = (page, state) => page.locator(`#connection[data-state="${state}"]`).waitFor();
const memberNames = (page) => page.locator("#members .member-text").allTextContents();

describe("two people", { concurrency: 2 }, () => {
  pageTest("talk, see each other come and go, and see each other typing", async ({ open }) => {
    const [ada, ben] = [await open(), await open()];
    await signIn(ada, "Ada");
    await signIn(ben, "Ben");
    await ada.locator("#members").getByText("Ben").waitFor();
    assert.deepEqual(await memberNames(ben), ["Ada", "Ben (you)"]);

    await ada.getByLabel("Message", { exact: true }).pressSequentially("hel");
    await ben.getByText("Ada is typing…").waitFor();
    await say(ada, "hello Ben");
    await message(ben, "hello Ben").waitFor();
    await ben.getByText("Ada is typing…").waitFor({ state: "hidden" });
    await say(ben, "hello Ada");
    await message(ada, "hello Ada").waitFor();
    assert.deepEqual(await texts(ada), ["hello Ben", "hello Ada"]);
    assert.deepEqual(await texts(ben), ["hello Ben", "hello Ada"]);
    await ada.locator("#entries .mine .when").getByText("Sent").waitFor({ state: "attached" });

    await ben.getByLabel("Your status").selectOption("busy");
    await ada.locator('#members .member[data-status="busy"]').getByText("Ben").waitFor();
    await ben.reload();
    await ben.locator('#members .member[data-status="busy"]').getByText("Ben").waitFor();
    assert.equal(await ben.getByLabel("Your status").inputValue(), "busy");
    await ben.context().close();
    await ada.locator("#members").getByText("Ben").waitFor({ state: "detached" });
    assert.deepEqual(await memberNames(ada), ["Ada (you)"]);
  });

  pageTest("a newcomer finds the history and the topic", async ({ open }) => {
    const ada = await open();
    await signIn(ada, "Ada");
    await say(ada, "first");
    await say(ada, "second");
    await ada.getByRole("button", { name: "Set a topic" }).click();
    await ada.getByLabel("Topic", { exact: true }).fill("eggs");
    await ada.keyboard.press("Enter");
    await ada.locator("#entries").getByText("You set the topic: “eggs”").waitFor();

    const ben = await open();
    await signIn(ben, "Ben");
    await message(ben, "second").waitFor();
    assert.deepEqual(await texts(ben), ["first", "second"]);
    await ben.getByRole("button", { name: "Topic: eggs. Change it" }).waitFor();
    assert.equal(await ben.title(), "#lobby · Rookery");
  });

  pageTest("markup stays text, addresses become links", async ({ open }) => {
    const ada = await open();
    await signIn(ada, "<b>Ada</b>");
    await say(ada, '<img src=x onerror="document.title=1"> see https://example.org/a?b=1.');
    await ada.locator("#entries .mine .text").waitFor();
    assert.deepEqual(await texts(ada), ['<img src=x onerror="document.title=1"> see https://example.org/a?b=1.']);
    assert.equal(await ada.locator("#entries a").getAttribute("href"), "https://example.org/a?b=1");
    assert.deepEqual(await memberNames(ada), ["<b>Ada</b> (you)"]);
  });
});

describe("a reload", { concurrency: 2 }, () => {
  pageTest("is no leave and join, and keeps the person, the room and the draft", async ({ open, guest }) => {
    const watcher = await guest("Watcher");
    const room = watcher.join("den");
    await room.ready();
    const page = await open("/?room=lobby");
    await signIn(page, "Ada");
    await page.getByLabel("Join or create a room").fill("den");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "#den", level: 1 }).waitFor();
    await say(page, "before");
    await message(page, "before").waitFor();
    await page.locator("#entries .mine").waitFor();
    const user = await page.evaluate(() => JSON.parse(sessionStorage.getItem("rookery.identity")).user);
    assert.ok(room.members.has(user));
    const changes = [];
    room.on("presence", ({ joined, left }) => changes.push(...joined.map((member) => `+${member.user}`), ...left.map((gone) => `-${gone}`)));

    await page.getByLabel("Message", { exact: true }).fill("half a thou");
    await page.reload();
    await message(page, "before").waitFor();
    assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "half a thou");
    await page.getByRole("heading", { name: "#den", level: 1 }).waitFor();
    assert.equal(await page.locator("#self-name").textContent(), "Ada");
    await page.locator('[data-key="#lobby"]').waitFor();
    assert.equal(await page.evaluate(() => JSON.parse(sessionStorage.getItem("rookery.identity")).user), user);
    await say(page, "after");
    await message(page, "after").waitFor();
    assert.deepEqual(await texts(page), ["before", "after"]);

    // Beyond the grace: somebody else's coming and going is seen after it, hers is not.
    const passer = await guest("Passer");
    await passer.join("den").ready();
    const gone = new Promise((resolve) => room.on("presence", ({ left }) => left.includes(passer.user) && resolve()));
    passer.close();
    await gone;
    assert.deepEqual(changes, [`+${passer.user}`, `-${passer.user}`]);
  });

  pageTest("two tabs of one browser are two people", async ({ open }) => {
    const ada = await open();
    await signIn(ada, "Ada");
    const second = await ada.context().newPage();
    await second.goto(ada.url());
    await signIn(second, "Ben");
    await ada.reload();
    await ada.locator("#members").getByText("Ben").waitFor();
    assert.deepEqual(await memberNames(ada), ["Ada (you)", "Ben"]);
  });
});

describe("unread", { concurrency: 2 }, () => {
  pageTest("is counted by room and in the title, and read by looking", async ({ open, guest }) => {
    const ada = await open("/?room=lobby&room=den");
    await signIn(ada, "Ada");
    const ben = await guest("Ben");
    const den = ben.join("den");
    await den.chat("zero");
    await ada.keyboard.press("Alt+ArrowDown");
    await message(ada, "zero").waitFor();
    await say(ada, "hello");
    await ada.locator("#entries .mine").waitFor();
    await ada.keyboard.press("Alt+ArrowUp");
    for (const text of ["one", "two", "three"]) await den.chat(text);
    await ada.locator('[data-key="#den"] .badge').getByText("3").waitFor();
    assert.equal(await ada.title(), "(3) #lobby · Rookery");
    await ada.reload();
    await ada.locator('[data-key="#den"] .badge').getByText("3").waitFor();
    assert.equal(await ada.title(), "(3) #lobby · Rookery");
    await ada.keyboard.press("Alt+ArrowDown");
    await message(ada, "three").waitFor();
    await ada.locator("#entries .fresh").getByText("New").waitFor();
    assert.equal(await ada.title(), "#den · Rookery");
    assert.equal(await ada.locator(".place .badge").count(), 0);
  });

  pageTest("direct messages arrive, count as unread, and stay over a reload", async ({ open, guest }) => {
    const ada = await open();
    await signIn(ada, "Ada");
    const ben = await guest("Ben");
    ben.join("lobby");
    const user = await ada.evaluate(() => JSON.parse(sessionStorage.getItem("rookery.identity")).user);
    await ben.direct(user, "psst");
    await ada.locator(`[data-key="@${ben.user}"] .badge`).getByText("1").waitFor();
    assert.equal(await ada.title(), "(1) #lobby · Rookery");
    await ada.reload();
    await ada.locator(`[data-key="@${ben.user}"] .badge`).getByText("1").waitFor();

    const answered = new Promise((resolve) => ben.on("direct", (direct) => direct.from === user && resolve(direct)));
    await ada.locator(`[data-key="@${ben.user}"]`).click();
    await message(ada, "psst").waitFor();
    await say(ada, "yes?");
    assert.equal((await answered).content, "yes?");
    await ada.locator("#entries .mine .when").getByText("Sent").waitFor({ state: "attached" });
    await ada.reload();
    await message(ada, "yes\\?").waitFor();
    await inState(ada, "connected");
    assert.deepEqual(await texts(ada), ["psst", "yes?"]);
    assert.equal(await ada.locator(".place .badge").count(), 0);
  });

  pageTest("what came while away is there afterwards, once, and seen ones do not come again", async ({ open, guest, server }) => {
    const ada = await open();
    await signIn(ada, "Ada");
    const ben = await guest("Ben");
    const user = await ada.evaluate(() => JSON.parse(sessionStorage.getItem("rookery.identity")).user);
    await ada.goto("about:blank");
    await ben.direct(user, "while you were out");
    await ada.goto(server.url);
    await ada.locator("#directs .badge").getByText("1").waitFor();
    await ada.locator("#directs .place").click();
    await message(ada, "while you were out").waitFor();
    await ada.getByRole("button", { name: /^Close the conversation/ }).click();
    await ada.reload();
    await inState(ada, "connected");
    await ada.locator("#members").getByText("(you)").waitFor();
    assert.equal(await ada.locator("#directs .place").count(), 0);
  });
});

describe("losing the connection", { concurrency: 2 }, () => {
  pageTest("a server that restarts: the page comes back by itself, and what was written meanwhile is sent", async ({ open, server }) => {
    const [ada, ben] = [await open(), await open()];
    ada.expected = ben.expected = NETWORK_NOISE;
    await signIn(ada, "Ada");
    await signIn(ben, "Ben");
    await say(ada, "before the restart");
    await message(ben, "before the restart").waitFor();

    await server.stop();
    await inState(ada, "connecting");
    await ada.getByText("What you write is kept and sent later.").waitFor();
    await say(ada, "written in the dark");
    await say(ada, "and another");
    await ada.locator("#outgoing .sending").nth(1).waitFor();
    await server.start();
    await ada.getByRole("button", { name: "Try now" }).click({ timeout: 3_000 }).catch(() => {}); // back already
    await inState(ada, "connected");
    await message(ben, "and another").waitFor();
    await ada.locator("#entries .mine").nth(1).waitFor();
    // The log of the embedded broker ended with its process: its new life holds the new messages alone.
    assert.deepEqual(await texts(ada), ["written in the dark", "and another"]);
    assert.deepEqual(await texts(ben), ["written in the dark", "and another"]);
    assert.equal(await ada.locator("#outgoing > li").count(), 0);
    assert.equal(await ada.locator("#self-name").textContent(), "Ada");
    await ada.locator("#banner").waitFor({ state: "hidden" });
    await ben.locator("#members").getByText("Ada").waitFor();
  });

  pageTest("a token that the server no longer takes is replaced by a new one of the same name", async ({ open, server }) => {
    const ada = await open();
    ada.expected = new RegExp(`${NETWORK_NOISE.source}|status of 401`);
    await signIn(ada, "Ada");
    await server.stop();
    await server.start({ ROOKERY__AUTH__SECRET: "another-secret-0123456789abcdef0123456789abcdef" });
    await inState(ada, "connected");
    await say(ada, "back again");
    await ada.locator("#entries .mine").getByText("back again").waitFor();
    assert.equal(await ada.locator("#self-name").textContent(), "Ada");
  });

  pageTest("a network that breaks: nothing is lost and nothing doubled", async ({ open, guest, network }) => {
    const ben = await guest("Ben");
    const room = ben.join("lobby");
    await room.ready();
    const heard = [];
    const hears = (text) =>
      new Promise((resolve) => {
        const stop = room.on("message", ({ content }) => content === text && resolve(stop()));
      });
    room.on("message", ({ content }) => heard.push(content));

    const ada = await open(network.url);
    ada.expected = NETWORK_NOISE;
    await signIn(ada, "Ada");
    await room.chat("one");
    await message(ada, "one").waitFor();

    // The message arrives, its ack does not: only the nonce can tell, when it is sent again.
    network.mute();
    const arrived = hears("two");
    await say(ada, "two");
    await arrived;
    network.cut();
    await inState(ada, "connecting");
    for (const text of ["three", "four"]) await room.chat(text);
    await say(ada, "five");
    await ada.context().setOffline(true);
    await ada.getByText("What you write is kept and sent later.").waitFor();
    const last = hears("five");
    network.heal();
    await ada.context().setOffline(false); // the browser's `online` event brings it back at once
    await inState(ada, "connected");
    await last;
    await ada.locator("#entries .mine").getByText("five").waitFor();
    assert.deepEqual(heard, ["one", "two", "three", "four", "five"]);
    assert.deepEqual(await texts(ada), heard);
    assert.equal(await ada.locator("#outgoing > li").count(), 0);
  });

  pageTest("what is on its way when the page is reloaded is sent after, once", async ({ open, guest, network }) => {
    const ben = await guest("Ben");
    const room = ben.join("lobby");
    await room.ready();
    const ada = await open(network.url);
    ada.expected = NETWORK_NOISE;
    await signIn(ada, "Ada");
    network.mute();
    const arrived = new Promise((resolve) => room.on("message", resolve));
    await say(ada, "hasty");
    await arrived;
    network.heal();
    await ada.reload();
    await ada.locator("#entries .mine").waitFor();
    await say(ada, "patient");
    await ada.locator("#entries .mine").nth(1).waitFor();
    assert.deepEqual(await texts(ada), ["hasty", "patient"]);
    assert.equal(room.seq, 2);
  });
});

describe("the log", { concurrency: 2 }, () => {
  pageTest("older messages come when scrolled to, and the place is kept", async ({ open, guest }) => {
    const ben = await guest("Ben");
    const room = ben.join("lobby");
    for (let n = 1; n <= 130; n += 1) await room.chat(`line ${n}`);
    const ada = await open();
    await signIn(ada, "Ada");
    await message(ada, "line 130").waitFor();
    assert.equal(await message(ada, "line 1").count(), 0);
    await ada.getByRole("log").focus();
    for (const first of [31, 1]) {
      await ada.keyboard.press("Home");
      await message(ada, `line ${first}`).waitFor({ state: "attached" });
    }
    assert.deepEqual(await texts(ada), Array.from({ length: 130 }, (_, n) => `line ${n + 1}`));
    await ada.getByText("This is where the room begins.").waitFor({ state: "attached" });

    // Scrolled up, new ones do not move the view, but are announced.
    await ada.keyboard.press("Home");
    await ada.waitForFunction(() => document.getElementById("log").scrollTop === 0);
    await ada.getByRole("button", { name: "Newest" }).waitFor();
    await room.chat("line 131");
    await ada.getByRole("button", { name: "1 new" }).click();
    await message(ada, "line 131").waitFor();
    await ada.getByRole("button", { name: /Newest|new/ }).waitFor({ state: "hidden" });
  });

  pageTest("a refused message says why, and can be tried again or discarded", { env: { ROOKERY__LIMITS__MESSAGE_BYTES: "2048" } }, async ({ open }) => {
    const ada = await open();
    await signIn(ada, "Ada");
    await say(ada, "x".repeat(3_000));
    await ada.locator("#outgoing .failed").getByText(/Not sent: .*2048/).waitFor();
    await ada.getByRole("button", { name: "Try again" }).click();
    await ada.locator("#outgoing .failed").waitFor();
    await ada.getByRole("button", { name: "Discard" }).click();
    await ada.locator("#outgoing > li").waitFor({ state: "detached" });
    await say(ada, "shorter");
    await ada.locator("#entries .mine").waitFor();
  });
});

describe("ways in and ways about", { concurrency: 2 }, () => {
  pageTest("by keyboard alone: in, a room, a message, out of it again", async ({ open }) => {
    const ada = await open();
    await ada.keyboard.type("Ada");
    await ada.keyboard.press("Enter");
    await inState(ada, "connected");
    await ada.keyboard.press("Escape");
    await ada.keyboard.type("one");
    await ada.keyboard.press("Shift+Enter");
    await ada.keyboard.type("two");
    await ada.keyboard.press("Enter");
    await ada.locator("#entries .mine").waitFor();
    assert.deepEqual(await texts(ada), ["one\ntwo"]);

    await ada.getByLabel("Join or create a room").focus();
    await ada.keyboard.type("den");
    await ada.keyboard.press("Enter");
    await ada.getByRole("heading", { name: "#den", level: 1 }).waitFor();
    await ada.keyboard.press("Alt+ArrowUp");
    await ada.getByRole("heading", { name: "#lobby", level: 1 }).waitFor();
    await ada.getByRole("button", { name: "Leave #lobby" }).focus();
    await ada.keyboard.press("Enter");
    await ada.getByRole("heading", { name: "#den", level: 1 }).waitFor();
    assert.equal(await ada.locator(".place").count(), 1);
    await ada.getByRole("button", { name: "Leave #den" }).click();
    await ada.getByText("Nothing is open").waitFor();
    assert.equal(await ada.getByLabel("Message", { exact: true }).isVisible(), false);
  });

  pageTest("at 390 px: nothing overflows, and the side columns are drawers", async ({ open, guest }) => {
    const page = await open("/", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await signIn(page, "A name that is longer than it has any right to be, really");
    const ben = await guest("Ben");
    const room = ben.join("lobby");
    await room.chat("averylongwordwithoutanyspaces".repeat(20));
    await ben.join("den").ready();
    await page.locator("#entries .text").waitFor();
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(await overflow(), 0);
    assert.equal(await page.locator("#places").isVisible(), false);

    await page.getByRole("button", { name: "Conversations" }).tap();
    await page.getByLabel("Join or create a room").fill("den");
    await page.getByLabel("Join or create a room").press("Enter");
    await page.getByRole("heading", { name: "#den", level: 1 }).waitFor();
    await page.locator("#places").waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Members", exact: true }).tap();
    await page.getByRole("button", { name: /Ben/ }).tap();
    await page.getByRole("heading", { name: "Ben", level: 1 }).waitFor();
    await page.locator("#people").waitFor({ state: "hidden" });
    await say(page, "hi Ben");
    await page.locator("#entries .mine").waitFor();
    assert.equal(await overflow(), 0);
    await page.getByRole("button", { name: "Conversations" }).tap();
    await page.keyboard.press("Escape");
    await page.locator("#places").waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.id), "places-open");
  });

  pageTest("where guests are not let in, the page says what to do", { env: { ROOKERY__AUTH__GUEST: "off" } }, async ({ open }) => {
    const page = await open();
    page.expected = /status of 40[345]/;
    await page.getByLabel("Your name").fill("Ada");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText(/Guests are not let in here.*auth\.guest/).waitFor();
    await page.getByText("rookery token --sub").waitFor();
    await page.getByLabel("Token").fill("nonsense");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText(/not a token/).waitFor();
  });

  pageTest("a token from elsewhere lets in as well", { env: { ROOKERY__AUTH__GUEST: "off" } }, async ({ open, server }) => {
    const page = await open();
    await page.getByRole("button", { name: "I have a token" }).click();
    await page.getByLabel("Token").fill(server.token("carol", { name: "Carol" }));
    await page.keyboard.press("Enter");
    await inState(page, "connected");
    await say(page, "let in");
    await page.locator("#entries .mine").waitFor();
    assert.deepEqual(await memberNames(page), ["Carol (you)"]);
  });

  pageTest("room names that are none are refused where they are typed", async ({ open }) => {
    const page = await open();
    await signIn(page, "Ada");
    for (const name of ["@bob", "two words", "ünï"]) {
      await page.getByLabel("Join or create a room").fill(name);
      await page.keyboard.press("Enter");
      await page.getByRole("alert").getByText("letters, digits").waitFor();
    }
    assert.equal(await page.locator(".place").count(), 1);
  });
});
