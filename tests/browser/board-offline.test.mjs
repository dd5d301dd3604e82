/** The board page without a connection: what is done meanwhile is kept, over reloads too, and merged. */

import assert from "node:assert/strict";
import { describe } from "node:test";
import { boardTest } from "./board-case.mjs";
import { addCard, agree, card, cardTitles, done, dragCard, enterBoard, inState, openCard, saved, shown, write } from "./board-hands.mjs";
import { NETWORK_NOISE } from "./harness.mjs";

/** Nothing of this browser gets through, by a socket or by a stream of events, until what it answers is called. */
async function block(context) {
  let blocked = true;
  await context.routeWebSocket(/\/ws/, (socket) => (blocked ? socket.close({ code: 4000 }) : socket.connectToServer()));
  await context.route(/\/events\?/, (route) => (blocked ? route.abort("connectionrefused") : route.continue()));
  return () => (blocked = false);
}

/**
 * Sets what this page's network is like. Not by `context.setOffline`: that waits for an answer of
 * every service worker, and one that the browser is about to end gives none.
 */
async function throttle(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  return (conditions) => devtools.send("Network.emulateNetworkConditions", conditions);
}
const SLOW = { offline: false, latency: 300, downloadThroughput: 20_000, uploadThroughput: 8_000 };
const FAST = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };

describe("without a connection", { concurrency: 2 }, () => {
  boardTest("a slow window, cut off, edited on both sides: in the end both are the same and nothing is lost", async ({ enter, network }) => {
    const ada = await enter("Ada");
    const ben = await enter("Ben", { through: network });
    for (const title of ["Eggs", "Milk", "Twigs"]) await addCard(ada, "To do", title);
    await card(ben, "Twigs").waitFor();

    const conditions = await throttle(ben);
    await conditions(SLOW);
    await addCard(ben, "Doing", "Slowly");
    await card(ada, "Slowly").waitFor();
    await conditions({ ...SLOW, offline: true });
    network.cut();
    await ben.getByText("What you change is kept and sent later.").waitFor();

    await openCard(ben, "Eggs");
    await write(ben, "Title", "Six eggs");
    await write(ben, "Write a comment", "Ben was here");
    await ben.getByRole("button", { name: "Comment" }).click();
    await done(ben);
    await dragCard(ben, "Milk", "Done");
    await openCard(ben, "Twigs");
    await write(ben, "Title", "Ben's twigs");
    await done(ben);
    await addCard(ben, "Doing", "In the tunnel");
    await ben.getByText("4 changes not sent yet").waitFor();
    await card(ben, "In the tunnel").locator(".card-waiting").waitFor();
    const [waiting, sent] = await Promise.all(["In the tunnel", "Slowly"].map((title) => card(ben, title).boundingBox()));
    assert.equal(waiting.height, sent.height, "what waits takes no room: nothing jumps when it is sent");

    await openCard(ada, "Eggs");
    await write(ada, "Description", "Brown ones");
    await write(ada, "Write a comment", "Ada was here");
    await ada.getByRole("button", { name: "Comment" }).click();
    await done(ada);
    await openCard(ada, "Milk");
    await write(ada, "Title", "Oat milk");
    await done(ada);
    await openCard(ada, "Twigs");
    await write(ada, "Title", "Ada's twigs");
    await done(ada);
    await saved(ada);

    network.heal();
    await conditions(FAST);
    await inState(ben, "connected");
    await ben.locator("#disputes").getByText("“Ben's twigs” was changed by Ada too.").waitFor();
    await ben.locator("#disputes-open").click();
    await ben.getByRole("dialog", { name: "Two versions" }).getByLabel("Ada").check();
    await ben.getByRole("button", { name: "Keep what is chosen" }).click();
    assert.deepEqual(await agree(ada, ben), [
      ["To do", [["Six eggs", "Brown ones", "2"], ["Ada's twigs", "", ""]]],
      ["Doing", [["Slowly", "", ""], ["In the tunnel", "", ""]]],
      ["Done", [["Oat milk", "", ""]]],
    ]);
    assert.equal(await ben.locator("#pending").isVisible(), false);
  });

  boardTest("a reload while changes wait keeps them, and so does a tab that is gone", async ({ enter, server }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    ben.expected = NETWORK_NOISE;
    await addCard(ada, "To do", "Eggs");
    await card(ben, "Eggs").waitFor();
    const unblock = await block(ben.context());
    await ben.reload();
    await card(ben, "Eggs").waitFor(); // as it was seen last
    await addCard(ben, "To do", "Milk");
    await openCard(ben, "Eggs");
    await write(ben, "Title", "Ben's eggs");
    // Not even left, and the page goes.
    await ben.reload();
    await card(ben, "Milk").waitFor();
    await card(ben, "Ben's eggs").waitFor();
    await ben.getByText("2 changes not sent yet").waitFor();

    // The tab goes, and another one of the same browser takes its changes up.
    const context = ben.context();
    await ben.close();
    const next = await context.newPage();
    await next.goto(new URL("/board.html", server.url).href);
    await next.getByLabel("Your name").fill("Ben");
    await next.keyboard.press("Enter");
    await next.getByText("2 changes not sent yet").waitFor();
    unblock();
    await next.getByRole("button", { name: "Try now" }).click({ timeout: 3_000 }).catch(() => {}); // back already
    await card(ada, "Milk").waitFor();
    await card(ada, "Ben's eggs").waitFor();
    await agree(ada, next);
    await next.reload();
    await card(next, "Milk").waitFor();
    assert.equal((await shown(next))[0][1].length, 2);
  });

  boardTest("the page opens without any network, with what was seen and what waits", async ({ enter, network }) => {
    const ada = await enter("Ada");
    const ben = await enter("Ben", { through: network });
    await addCard(ben, "To do", "Eggs");
    await saved(ben);
    await ben.evaluate(() => navigator.serviceWorker.ready);
    network.cut();
    await inState(ben, "connecting");
    await addCard(ben, "To do", "Milk");
    await ben.reload();
    await card(ben, "Eggs").waitFor();
    await card(ben, "Milk").waitFor();
    await openCard(ben, "Milk");
    await write(ben, "Title", "Oat milk");
    await ben.reload(); // the field was not even left
    await card(ben, "Oat milk").waitFor();
    await ben.getByText("1 change not sent yet").waitFor();
    network.heal();
    await ben.getByRole("button", { name: "Try now" }).click({ timeout: 3_000 }).catch(() => {}); // back already
    await card(ada, "Oat milk").waitFor();
    await agree(ada, ben);
  });

  boardTest("who signs out loses nothing that waits", async ({ enter, network }) => {
    const ada = await enter("Ada");
    const ben = await enter("Ben", { through: network });
    const unblock = await block(ben.context());
    await ben.reload();
    await addCard(ben, "To do", "Milk");
    await ben.locator("#people-open").click();
    await ben.getByRole("button", { name: "Sign out" }).click();
    assert.equal(await card(ben, "Milk").count(), 0);
    unblock();
    await enterBoard(ben, "Benjamin");
    await card(ada, "Milk").waitFor();
    await saved(ben);
  });

  boardTest("a server that forgot everything: what was not sent is asked about, the rest is gone", async ({ enter, server }) => {
    const ada = await enter("Ada");
    ada.expected = NETWORK_NOISE;
    for (const title of ["Eggs", "Milk"]) await addCard(ada, "To do", title);
    await saved(ada);
    await server.stop();
    await inState(ada, "connecting");
    await openCard(ada, "Eggs");
    await write(ada, "Title", "Six eggs");
    await done(ada);
    await server.start();
    await ada.getByRole("button", { name: "Try now" }).click({ timeout: 3_000 }).catch(() => {}); // back already
    await card(ada, "Six eggs").getByRole("button", { name: "Compare" }).click();
    await ada.getByLabel("Keep it, with your changes").check();
    await ada.getByRole("button", { name: "Keep what is chosen" }).click();
    await saved(ada);
    assert.deepEqual(await cardTitles(ada, "To do"), ["Six eggs"]);
    const ben = await enter("Ben");
    await card(ben, "Six eggs").waitFor();
  });
});
