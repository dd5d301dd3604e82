/**
 * How rookery.js goes by Server-Sent Events where no WebSocket gets through, and
 * back.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Rookery } from "../../static/rookery.js";
import { FakeEvents, listening, settled } from "./fake-events.mjs";
import { FakeSocket, chat, clock, connecting, last, turn } from "./fake-server.mjs";

const types = (messages) => messages.map(({ type }) => type);

describe("events", () => {
  test("the stream stands beside the socket's address, the token in a header", async () => {
    const { client, server } = await listening({ token: "a.b.c" });
    const { url, headers } = server.stream;
    assert.equal(url.origin + url.pathname, "https://example.org/events");
    assert.equal(url.searchParams.get("ids"), "none");
    assert.equal(headers.get("Authorization"), "Bearer a.b.c");
    assert.equal(client.state, "connected");
    assert.equal(client.transport, "events");
    assert.equal(FakeSocket.opened.length, 0);
  });

  test("without a token the cookie is relied on", async () => {
    const { server } = await listening({ token: undefined });
    assert.equal(server.stream.headers.get("Authorization"), null);
  });

  test("an event may come in any pieces, several at once, with comments between", async () => {
    const { client, server } = await listening();
    const texts = [];
    client.on("direct", ({ content }) => texts.push(content));
    const told = (content) => `data: ${JSON.stringify({ type: "direct", from: "bob", to: "ada", content })}\n\n`;
    const bytes = new TextEncoder().encode(`${told("é: 1\n")}:\n\n${told("two")}id: r@e:1\n${told("three")}`);
    for (const byte of bytes) server.stream.controller.enqueue(new Uint8Array([byte]));
    await settled();
    server.stream.write(told("four") + told("five"));
    for (let wait = 0; texts.length < 5 && wait < 100; wait += 1) await turn();
    assert.deepEqual(texts, ["é: 1\n", "two", "three", "four", "five"]);
  });

  test("what is sent in one go shares a post, and the next waits for its answer", async () => {
    const { client, server } = await listening();
    client.join("r");
    client.join("s");
    await settled();
    assert.equal(server.posts[0].url.href, "https://example.org/api/v1/client/s1");
    client.join("t");
    await settled();
    assert.deepEqual((await server.take()).map(({ room }) => room), ["r", "s"]);
    assert.deepEqual((await server.take()).map(({ room }) => room), ["t"]);
  });

  test("a post has no more messages than one may, nor more bytes", async () => {
    const { client, server } = await listening();
    for (let n = 0; n < 40; n += 1) client.join(`r${n}`);
    await settled();
    assert.deepEqual([(await server.take()).length, (await server.take()).length], [32, 8]);
    for (let n = 0; n < 3; n += 1) client.direct(`user${n}`, "x".repeat(20_000)).catch(() => {});
    await settled();
    assert.deepEqual([(await server.take()).length, (await server.take()).length, (await server.take()).length], [1, 1, 1]);
  });

  test("who is told to wait sends the same again, before all else", async () => {
    const { client, server } = await listening();
    client.join("r");
    await settled();
    const first = await server.take(429, { "Retry-After": "2" });
    client.join("s");
    await settled();
    assert.equal(server.posts.length, 0);
    clock.tick(2_000);
    await settled();
    const again = await server.take();
    assert.deepEqual([again[0], again[1].room], [first[0], "s"]);
    assert.equal(client.state, "connected");
  });

  test("where a post may or may not have arrived, the client comes back and resumes", async () => {
    for (const lose of [({ posts }) => posts[0].fail(), ({ posts }) => posts[0].answer(503), () => clock.tick(10_000)]) {
      const { client, server } = await listening();
      const room = client.join("r");
      await settled();
      const [{ id }] = await server.take();
      await server.tell({ type: "joined", id, room: "r", epoch: "e", seq: 0, recovered: false, messages: [], members: [], count: 0, state: {} });
      const write = room.chat("hello", { nonce: "n1" });
      await settled();
      lose(server);
      await settled();
      assert.equal(client.state, "connecting");
      server.posts = [];
      clock.tick(30_000);
      await settled();
      assert.equal(server.stream.url.searchParams.get("session"), "s1");
      await server.welcome();
      const [join] = await server.take();
      assert.deepEqual(join.since, { epoch: "e", seq: 0 });
      const entry = { ...chat(1), user: "ada", nonce: "n1" };
      await server.tell({ type: "joined", id: join.id, room: "r", epoch: "e", seq: 1, recovered: true, messages: [entry], members: [], count: 0, state: {} });
      assert.equal((await write).seq, 1);
      client.close();
    }
  });

  test("the farewell of a stream is that of a socket", async () => {
    const { client, server } = await listening();
    server.stream.write('event: close\ndata: {"code":1008,"reason":"kicked"}\n\n');
    server.stream.end();
    await settled();
    assert.deepEqual([client.state, client.states.at(-1).code, client.states.at(-1).reason], ["disconnected", 1008, "kicked"]);
  });

  test("a stream that just ends is a lost connection, and a refused one is tried again", async () => {
    const { client, server } = await listening();
    server.stream.end();
    await settled();
    assert.equal(client.states.at(-1).code, 1006);
    clock.tick(30_000);
    await settled();
    server.stream.refuse(503);
    await settled();
    assert.equal(client.states.at(-1).reason, "http_503");
    clock.tick(30_000);
    await settled();
    await server.welcome();
    assert.equal(client.state, "connected");
  });

  test("a new token is shown from then on", async () => {
    const { client, server } = await listening();
    const refreshed = client.refresh("d.e.f");
    await settled();
    const [{ id }] = await server.take();
    await server.tell({ type: "refreshed", id, expires_at: 9 });
    await refreshed;
    client.join("r");
    await settled();
    assert.equal(server.posts[0].headers.get("Authorization"), "Bearer d.e.f");
  });

  test("comments are signs of life; where they stay away the stream is dead", async () => {
    const { client, server } = await listening();
    for (let beat = 0; beat < 5; beat += 1) {
      clock.tick(30_000);
      server.stream.write(":\n\n");
      await settled();
    }
    assert.equal(server.posts.length, 0);
    clock.tick(37_500);
    await settled();
    assert.deepEqual(types(await server.take()), ["ping"]);
    clock.tick(10_000);
    assert.equal(client.states.at(-1).reason, "heartbeat_timeout");
  });

  test("close lets go of the stream", async () => {
    const { client, server } = await listening();
    client.close();
    assert.equal(server.stream.aborted, true);
  });
});

describe("by which transport", () => {
  /** A client that may choose, with both kinds of servers. */
  async function choosing(options = {}) {
    const server = new FakeEvents();
    const client = connecting({ transport: "auto", fetch: server.fetch, ...options });
    await settled();
    return { client, server };
  }

  /** The time of the next attempt comes. */
  async function wait() {
    clock.tick(30_000);
    await settled();
  }

  /** Time passes, in which the server shows life and takes what is posted. */
  async function pass(server, ms) {
    for (let left = ms; left > 0; left -= 5_000) {
      clock.tick(Math.min(left, 5_000));
      server.stream.write(":\n\n");
      await settled();
      if (server.posts.length > 0) await server.take();
    }
  }

  /** A client whose sockets do not get through, over events by now. */
  async function fallenBack(options) {
    const { client, server } = await choosing(options);
    for (let failure = 0; failure < 2; failure += 1) {
      last().drop();
      await wait();
    }
    await server.welcome();
    return { client, server };
  }

  test("what is forced is not left", async () => {
    const client = connecting({ transport: "websocket", fetch: () => assert.fail("it fetched") });
    for (let failure = 0; failure < 6; failure += 1) {
      await settled();
      last().drop();
      clock.tick(30_000);
    }
    assert.equal(client.transport, "websocket");
    assert.throws(() => new Rookery("https://example.org/ws", { transport: "pigeon" }), TypeError);
    assert.throws(() => connecting({ transport: "websocket", WebSocket: null }), TypeError);
  });

  test("without a WebSocket there are events", async () => {
    const known = globalThis.WebSocket;
    globalThis.WebSocket = undefined;
    try {
      const { client, server } = await choosing({ WebSocket: undefined });
      await server.welcome();
      assert.equal(client.transport, "events");
    } finally {
      globalThis.WebSocket = known;
    }
  });

  test("a WebSocket that cannot even be made gives way at once", async () => {
    const { client, server } = await choosing({
      WebSocket: class {
        constructor() {
          throw new Error("blocked");
        }
      },
    });
    await server.welcome();
    assert.deepEqual([client.state, client.transport], ["connected", "events"]);
  });

  test("two that came to nothing give way; while neither works both take turns", async () => {
    const { client, server } = await choosing();
    const tried = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      tried.push(client.transport);
      if (client.transport === "websocket") last().drop();
      else server.stream.fail();
      await settled();
      await wait();
    }
    assert.deepEqual(tried, ["websocket", "websocket", "events", "websocket", "events", "websocket"]);
  });

  test("one that was good and is lost does not count", async () => {
    const { client } = await choosing();
    for (let loss = 0; loss < 5; loss += 1) {
      last().welcome();
      last().drop();
      await wait();
    }
    assert.equal(client.transport, "websocket");
  });

  test("a WebSocket is tried beside the events, at growing intervals", async () => {
    const { client, server } = await fallenBack();
    const sockets = FakeSocket.opened.length;
    for (const [index, seconds] of [30, 60, 120].entries()) {
      await pass(server, seconds * 1_000 - 1);
      assert.equal(FakeSocket.opened.length, sockets + index);
      await pass(server, 1);
      assert.equal(FakeSocket.opened.length, sockets + index + 1);
      last().drop();
      await settled();
    }
    assert.deepEqual([client.state, client.transport, server.streams.length], ["connected", "events", 1]);
  });

  test("one that gets through takes over, and the rooms resume", async () => {
    const { client, server } = await fallenBack();
    const room = client.join("r");
    const log = [];
    room.on("message", ({ seq }) => log.push(seq));
    await settled();
    const [{ id }] = await server.take();
    await server.tell({ type: "joined", id, room: "r", epoch: "e", seq: 0, recovered: false, messages: [], members: [], count: 0, state: {} });
    await server.tell(chat(1));
    const write = room.chat("hello", { nonce: "n1" });
    await pass(server, 30_000);
    assert.equal(last().url.searchParams.get("session"), "s1");
    // The stream goes on until the socket has its welcome, and may end before.
    await server.tell(chat(2));
    server.stream.write('event: close\ndata: {"code":1001,"reason":"replaced"}\n\n');
    server.stream.end();
    await settled();
    assert.equal(client.state, "connected");
    last().welcome();
    assert.deepEqual([client.state, client.transport], ["connected", "websocket"]);
    const join = last().take("join");
    assert.deepEqual(join.since, { epoch: "e", seq: 2 });
    last().receive({ type: "joined", id: join.id, room: "r", epoch: "e", seq: 3, recovered: true, messages: [chat(3)], members: [], count: 0, state: {} });
    assert.deepEqual(log, [1, 2, 3]);
    const again = last().take("chat");
    assert.equal(again.nonce, "n1");
    last().receive({ type: "ack", id: again.id, seq: 4, epoch: "e" });
    assert.equal((await write).seq, 4);
    // Nothing of the old way is left.
    clock.tick(700_000);
    await settled();
    assert.equal(server.streams.length, 1);
  });

  test("one that took the session and then failed is a lost connection", async () => {
    const { client, server } = await fallenBack();
    clock.tick(30_000);
    await settled();
    server.stream.end();
    await settled();
    last().drop();
    assert.equal(client.state, "connecting");
    await wait();
    assert.equal(server.streams.length, 2);
    await server.welcome();
    assert.deepEqual([client.state, client.transport], ["connected", "events"]);
  });

  test("closed while a WebSocket is being tried, nothing is left", async () => {
    const { client, server } = await fallenBack();
    clock.tick(30_000);
    await settled();
    const candidate = last();
    client.close();
    assert.equal(candidate.readyState, 3);
    assert.equal(server.stream.aborted, true);
    clock.tick(700_000);
    await settled();
    assert.equal(last(), candidate);
  });
});
