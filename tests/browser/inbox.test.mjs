/**
 * How rookery.js keeps its place among direct messages: by epoch and seq.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connected, last, reconnected, turn } from "./fake-server.mjs";

const direct = (epoch, seq, fields = {}) => ({ type: "direct", epoch, seq, from: "bob", to: "ada", content: `${epoch}${seq}`, timestamp: 1, ...fields });

/** A client with its welcome; what it tells is kept in `heard`. */
async function listening(welcome, options = {}) {
  const client = await connected(options, welcome);
  client.heard = [];
  client.on("direct", ({ content }) => client.heard.push(content));
  return client;
}

describe("direct messages", () => {
  test("come once, also when they come again with the next connection", async () => {
    const client = await listening();
    for (const seq of [1, 2, 2, 1]) last().receive(direct("i", seq));
    last().drop();
    await reconnected();
    for (const seq of [1, 2, 3]) last().receive(direct("i", seq));
    assert.deepEqual(client.heard, ["i1", "i2", "i3"]);
    assert.deepEqual(client.inbox, { epoch: "i", seq: 3 });
  });

  test("of a new epoch begin at 1, live and after a welcome", async () => {
    const client = await listening({ inbox: { epoch: "i", seq: 7 } });
    last().receive(direct("i", 8));
    last().receive(direct("j", 1));
    last().receive(direct("j", 1));
    last().receive(direct("j", 2));
    assert.deepEqual(client.heard, ["i8", "j1", "j2"]);
    assert.deepEqual(client.inbox, { epoch: "j", seq: 2 });
    last().drop();
    await reconnected({ inbox: { epoch: "k", seq: 0 } });
    last().receive(direct("k", 1));
    assert.deepEqual(client.heard, ["i8", "j1", "j2", "k1"]);
  });

  test("without an epoch are of the welcome's", async () => {
    const client = await listening();
    for (const seq of [1, 1, 2]) last().receive(direct(undefined, seq, { content: `${seq}` }));
    assert.deepEqual(client.heard, ["1", "2"]);
  });

  test("that this user sent have no place and change none", async () => {
    const client = await listening();
    last().receive({ type: "direct", from: "ada", to: "bob", content: "hi", timestamp: 1 });
    assert.deepEqual([client.heard, client.inbox], [["hi"], { epoch: "i", seq: 0 }]);
  });

  test("are seen up to a place of their epoch, which a resent request keeps", async () => {
    const client = await listening(undefined, { requestTimeoutMs: 60_000 });
    const message = direct("i", 1);
    last().receive(message);
    const all = [client.seen(1), client.seen(message), client.seen({ epoch: "h", seq: 5 })];
    const sent = [1, 2, 3].map(() => last().take("seen"));
    assert.deepEqual(
      sent.map(({ epoch, seq }) => [epoch, seq]),
      [["i", 1], ["i", 1], ["h", 5]],
    );
    last().drop();
    await reconnected({ inbox: { epoch: "j", seq: 0 } });
    for (const { epoch, seq } of sent) {
      const again = last().take("seen");
      assert.deepEqual([again.epoch, again.seq], [epoch, seq]);
      last().receive({ type: "ack", id: again.id });
    }
    await turn();
    await Promise.all(all);
  });
});
