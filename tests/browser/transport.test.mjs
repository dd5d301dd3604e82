/**
 * The chat page where no WebSocket gets through: in a browser that has none, and
 * behind a proxy that knows none.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Gateway, Server, launchBrowser, openWindow, say, signIn, texts } from "./harness.mjs";

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

/** Two windows, one of which is prepared by `prepare`, talk to each other. */
function talk(name, prepare) {
  test(name, { timeout: 90_000 }, async () => {
    const server = await Server.start();
    const gateway = await Gateway.to(server.url);
    const windows = [];
    try {
      const ada = await openWindow(browser, "about:blank");
      const ben = await openWindow(browser, server.url);
      windows.push(ada, ben);
      for (const page of windows) page.setDefaultTimeout(30_000);
      const streams = [];
      ada.on("request", (request) => request.url().includes("/events?") && streams.push(request));
      await ada.goto(await prepare(ada, { server, gateway }));
      await signIn(ada, "Ada");
      await signIn(ben, "Ben");
      await ben.locator("#members").getByText("Ada").waitFor();
      assert.ok(streams.length > 0, "the page went by events");

      await say(ada, "hello Ben");
      await ben.locator("#log .text").getByText("hello Ben", { exact: true }).waitFor();
      await say(ben, "hello Ada");
      await ada.locator("#log .text").getByText("hello Ada", { exact: true }).waitFor();
      await ben.getByLabel("Message", { exact: true }).pressSequentially("hm");
      await ada.getByText("Ben is typing…").waitFor();

      // A server that starts again is found again, and what is said meanwhile gets there.
      await server.stop();
      await ada.locator('#connection[data-state="connecting"]').waitFor();
      await server.start();
      for (const page of windows) await page.locator('#connection[data-state="connected"]').waitFor();
      await say(ada, "still here");
      await ben.locator("#log .text").getByText("still here", { exact: true }).waitFor();
      assert.deepEqual((await texts(ada)).filter((text) => text === "still here"), ["still here"]);

      // Who closes the window is gone, as with a socket.
      await ada.context().close();
      await ben.locator("#members").getByText("Ada").waitFor({ state: "detached" });
    } finally {
      await Promise.allSettled(windows.map((page) => page.context().close()));
      gateway.close();
      await server.dispose();
    }
  });
}

talk("a browser without WebSockets", async (page, { server }) => {
  await page.addInitScript(() => delete window.WebSocket);
  return server.url;
});

talk("a proxy that lets no WebSocket through", async (_, { gateway }) => gateway.url);
