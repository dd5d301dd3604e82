/**
 * How rookery.js connects, comes back, renews its token and notices a dead connection.
 */

import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { RookeryError, backoffDelay, closeAdvice } from "../../static/rookery.js";
import { FakeSocket, clock, connected, connecting, last, reconnected, rejection, turn } from "./fake-server.mjs";

describe("connecting", () => {
  test("the address becomes a WebSocket's, the token a subprotocol", async () => {
    await connected();
    assert.equal(last().url.href, "wss://example.org/ws");
    assert.deepEqual(last().protocols, ["rookery.v1", "bearer.a.b.c"]);
  });

  test("without a token the cookie is relied on", async () => {
    await connected({ token: undefined });
    assert.deepEqual(last().protocols, ["rookery.v1"]);
  });

  test("states come as events with code and reason, and `ready` follows them", async () => {
    const client = connecting();
    const ready = client.ready();
    await turn();
    last().welcome();
    assert.equal(await ready, client);
    last().drop(1011, "internal");
    client.close();
    assert.deepEqual(
      client.states.map(({ state, code, reason }) => [state, code, reason]),
      [
        ["connecting", undefined, undefined],
        ["connected", undefined, undefined],
        ["connecting", 1011, "internal"],
        ["disconnected", 1000, "client"],
      ],
    );
    assert.equal((await rejection(client.ready())).code, "disconnected");
  });

  test("the session id of the last welcome is taken over", async () => {
    await connected();
    last().drop();
    const socket = await reconnected();
    assert.equal(socket.url.searchParams.get("session"), "s1");
  });

  test("a handshake without an answer is given up", async () => {
    connecting({ connectTimeoutMs: 4_000 });
    await turn();
    const first = last();
    clock.tick(4_000);
    assert.equal(first.readyState, 3);
    clock.tick(1_000);
    await turn();
    assert.notEqual(last(), first);
  });

  test("close ends it: nothing is tried again", async () => {
    const client = await connected();
    const socket = last();
    client.close();
    assert.equal(socket.closedWith, 1000);
    clock.tick(100_000);
    await turn();
    assert.equal(FakeSocket.opened.length, 1);
  });
});

test("closed while the token is still being fetched, it opens nothing", async () => {
  let hand;
  const client = connecting({ token: () => new Promise((resolve) => (hand = resolve)) });
  await turn();
  client.close();
  hand("a.b.c");
  await turn();
  assert.equal(FakeSocket.opened.length, 0);
});

describe("coming back", () => {
  test("full jitter: from 0 to the doubled base, up to the cap", () => {
    for (const [random, expected] of [[0, [0, 0, 0, 0]], [0.999999, [500, 1_000, 2_000, 20_000]]]) {
      mock.method(Math, "random", () => random);
      assert.deepEqual([0, 1, 2, 50].map((attempt) => backoffDelay(attempt)), expected);
    }
  });

  test("each failure doubles the range; a connection that held resets it", async () => {
    const client = connecting();
    const delays = [];
    for (let failure = 0; failure < 8; failure += 1) {
      await turn();
      last().drop();
      delays.push(client.retryAt - Date.now());
      clock.tick(delays.at(-1));
    }
    assert.deepEqual(delays, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    await turn();
    last().welcome();
    clock.tick(6_000);
    last().drop();
    assert.equal(client.retryAt - Date.now(), 250);
  });

  test("a server that welcomes and drops at once is not hammered", async () => {
    const client = await connected();
    const delays = [];
    for (let failure = 0; failure < 4; failure += 1) {
      last().drop(1011, "internal");
      delays.push(client.retryAt - Date.now());
      clock.tick(delays.at(-1));
      await turn();
      last().welcome();
    }
    assert.deepEqual(delays, [250, 500, 1_000, 2_000]);
  });

  test("`closing.after_ms` is obeyed, and no network hint cuts it short", async () => {
    const networkEvents = new EventTarget();
    const client = await connected({ networkEvents });
    const heard = [];
    client.on("closing", (notice) => heard.push(notice));
    last().receive({ type: "closing", reason: "shutting_down", reconnect: true, after_ms: 7_000 });
    last().drop(1001, "shutting_down");
    assert.deepEqual(heard, [{ reason: "shutting_down", reconnect: true, afterMs: 7_000 }]);
    networkEvents.dispatchEvent(new Event("online"));
    clock.tick(6_999);
    await turn();
    assert.equal(FakeSocket.opened.length, 1);
    clock.tick(1);
    await turn();
    assert.equal(FakeSocket.opened.length, 2);
  });

  test("`closing` stands in for a close frame that got lost", async () => {
    const client = await connected();
    last().receive({ type: "closing", reason: "kicked", reconnect: false, after_ms: 0 });
    last().drop(1006);
    assert.equal(client.state, "disconnected");
  });

  test("`online`, `pageshow` and a tab shown again try at once", async () => {
    for (const name of ["online", "pageshow", "visibilitychange"]) {
      const networkEvents = new EventTarget();
      await connected({ networkEvents });
      last().drop();
      const before = FakeSocket.opened.length;
      networkEvents.dispatchEvent(new Event(name));
      await turn();
      assert.equal(FakeSocket.opened.length, before + 1, name);
    }
  });

  test("the table of close codes", async () => {
    const table = [
      [1000, "", "reconnect"],
      [1001, "shutting_down", "reconnect"],
      [1001, "heartbeat_timeout", "reconnect"],
      [1001, "replaced", "stay"],
      [1002, "", "fix"],
      [1003, "unsupported_data", "fix"],
      [1006, "", "reconnect"],
      [1007, "", "fix"],
      [1008, "token_expired", "renew"],
      [1008, "token_revoked", "renew"],
      [1008, "kicked", "stay"],
      [1008, "a reason of the operator's own", "stay"],
      [1008, "rate_limited", "slow"],
      [1009, "too_large", "fix"],
      [1011, "internal", "reconnect"],
      [1012, "", "reconnect"],
      [1013, "slow_consumer", "reconnect"],
      [4000, "unheard of", "reconnect"],
    ];
    for (const [code, reason, advice] of table) {
      assert.equal(closeAdvice(code, reason), advice, `${code} ${reason}`);
      const asked = [];
      const client = await connected({ token: ({ reason: why }) => asked.push(why) && "a.b.c" });
      const before = FakeSocket.opened.length;
      last().drop(code, reason);
      const delay = client.retryAt === null ? null : client.retryAt - Date.now();
      clock.tick(60_000);
      await turn();
      const again = FakeSocket.opened.length - before;
      const label = `${code} ${reason}`;
      assert.equal(again, advice === "stay" || advice === "fix" ? 0 : 1, label);
      assert.equal(client.errors.length, advice === "fix" ? 1 : 0, label);
      if (advice === "slow") assert.equal(delay, 10_000, label); // 5 s and the jitter's half
      if (advice === "renew") assert.deepEqual(asked, ["connect", reason === "token_expired" ? "expired" : "revoked"], label);
      client.close();
    }
  });
});

describe("tokens", () => {
  test("a callback is asked once, and its token kept over a reconnect", async () => {
    const asked = [];
    await connected({ token: ({ reason }) => asked.push(reason) && "x.y.z" });
    last().drop();
    const socket = await reconnected();
    assert.deepEqual(asked, ["connect"]);
    assert.deepEqual(socket.protocols, ["rookery.v1", "bearer.x.y.z"]);
  });

  test("after refused handshakes the token is suspected", async () => {
    const asked = [];
    connecting({ token: ({ reason }) => asked.push(reason) && `t.${asked.length}.x` });
    for (let refusal = 0; refusal < 2; refusal += 1) {
      await turn();
      last().drop(1006);
      clock.tick(20_000);
    }
    await turn();
    assert.deepEqual(asked, ["connect", "refused"]);
    assert.deepEqual(last().protocols[1], "bearer.t.2.x");
  });

  test("a token past its end is not tried", async () => {
    const asked = [];
    await connected({ token: ({ reason }) => asked.push(reason) && "x.y.z" }, { expires_at: Date.now() + 1_000 });
    clock.tick(2_000);
    last().drop();
    await reconnected();
    assert.deepEqual(asked, ["connect", "expired"]);
  });

  test("a callback that fails is asked again; one that says `unauthorized` ends it", async () => {
    let failure = new Error("no network");
    const client = connecting({
      token: () => {
        throw failure;
      },
    });
    await turn();
    assert.equal(client.errors[0].code, "token_failed");
    assert.equal(client.state, "connecting");
    failure = new RookeryError("unauthorized", "sign in again");
    clock.tick(20_000);
    await turn();
    assert.equal(client.state, "disconnected");
    assert.equal(client.errors[1], failure);
  });

  test("without a callback an expired token ends it, and says so", async () => {
    const client = await connected();
    last().drop(1008, "token_expired");
    assert.equal(client.state, "disconnected");
    assert.equal(client.errors[0].code, "token_expired");
  });

  test("`reauthenticate` refreshes by itself", async () => {
    const asked = [];
    const client = await connected({ token: ({ reason, user }) => asked.push([reason, user]) && "n.e.w" });
    last().receive({ type: "reauthenticate", expires_at: Date.now() + 30_000, in_ms: 30_000 });
    await turn();
    const refresh = last().take("refresh");
    assert.equal(refresh.token, "n.e.w");
    last().receive({ type: "refreshed", id: refresh.id, expires_at: 2_000_000 });
    await turn();
    assert.deepEqual(asked, [["connect", null], ["refresh", "ada"]]);
    assert.equal(client.expiresAt, 2_000_000);
  });

  test("a refresh that fails is tried again before the end", async () => {
    let fails = false;
    await connected({
      token: () => {
        if (fails) throw new Error("no network");
        return "n.e.w";
      },
    });
    fails = true;
    last().receive({ type: "reauthenticate", expires_at: Date.now() + 30_000, in_ms: 30_000 });
    await turn();
    fails = false;
    clock.tick(6_000);
    await turn();
    assert.equal(last().take("refresh").token, "n.e.w");
  });
});

describe("liveness", () => {
  test("silence is answered with a ping, silence after that with a new connection", async () => {
    const client = await connected();
    const socket = last();
    clock.tick(25_000);
    socket.take("ping");
    clock.tick(9_999);
    assert.equal(client.state, "connected");
    clock.tick(1);
    assert.equal(client.state, "connecting");
    assert.equal(client.states.at(-1).reason, "heartbeat_timeout");
    assert.equal(socket.readyState, 3);
  });

  test("anything heard counts as life", async () => {
    const client = await connected();
    const socket = last();
    for (let minute = 0; minute < 5; minute += 1) {
      clock.tick(25_000);
      socket.take("ping");
      clock.tick(5_000);
      socket.receive({ type: "pong", timestamp: 1 });
      clock.tick(20_000);
      socket.receive({ type: "typing", room: "elsewhere", user: "bob", active: true });
    }
    assert.equal(client.state, "connected");
    assert.deepEqual(socket.sent, []);
  });

  test("`offline` causes a check, not a loss", async () => {
    const networkEvents = new EventTarget();
    const client = await connected({ networkEvents });
    networkEvents.dispatchEvent(new Event("offline"));
    last().take("ping");
    last().receive({ type: "pong", timestamp: 1 });
    clock.tick(6_000);
    assert.equal(client.state, "connected");
    networkEvents.dispatchEvent(new Event("offline"));
    clock.tick(6_000);
    assert.equal(client.state, "connecting");
  });
});
