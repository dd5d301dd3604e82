/** A test of the board page: a server and a network of its own, and windows for people. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { NETWORK_NOISE, Network, Server, launchBrowser, openWindow } from "./harness.mjs";
import { enterBoard } from "./board-hands.mjs";

export const NARROW = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

/** A test with its own server and network; windows are closed and the server is gone whatever happens. */
export function boardTest(name, options, body = options) {
  test(name, { timeout: 90_000 }, async () => {
    const server = await Server.start(options.env ?? {});
    const network = await Network.to(server.url);
    const windows = [];
    try {
      await body({
        server,
        network,
        /** Somebody on a board, in a window of their own. */
        enter: async (person, { through = server, path = "/board.html", settings } = {}) => {
          const page = await openWindow(browser, new URL(path, through.url).href, settings);
          page.setDefaultTimeout(20_000);
          if (through === network) page.expected = NETWORK_NOISE;
          windows.push(page);
          await enterBoard(page, person);
          return page;
        },
      });
      for (const page of windows) assert.deepEqual(page.complaints.filter((text) => !page.expected?.test(text)), []);
    } finally {
      await Promise.allSettled(windows.map((page) => page.context().close()));
      network.close();
      await server.dispose();
    }
  });
}
