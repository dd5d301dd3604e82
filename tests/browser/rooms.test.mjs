/**
 * How rookery.js writes, resumes rooms, keeps members and state, and asks.
 */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { Rookery, RookeryError, createNonce } from "../../static/rookery.js";
import { FakeSocket, chat, clock, connected, connecting, inRoom, last, member, reconnected, rejection, setting, turn } from "./fake-server.mjs";

describe("writes", () => {
  test("resolve with the ack", async () => {
    const { room, socket } = await inRoom();
    const write = room.chat("hi", { echo: false });
    const sent = socket.take("chat");
    assert.equal(sent.room, "r");
    assert.equal(sent.content, "hi");
    assert.equal(sent.echo, false);
    assert.match(sent.nonce, /^[0-9a-f]{32}$/);
    socket.receive({ type: "ack", id: sent.id, seq: 7, epoch: "e1" });
    assert.deepEqual(await write, { seq: 7, epoch: "e1", duplicate: false, nonce: sent.nonce });
  });

  test("wait for the room, keep their order, and go again with the same nonce", async () => {
    const { room, socket } = await inRoom();
    const writes = [room.chat("one"), room.publish("two", { n: 2 }), room.set("three", 3, { ifVersion: 0 })];
    const first = socket.take("chat");
    assert.deepEqual(socket.sent, [], "one at a time");
    socket.drop();
    const offline = room.chat("four");

    const again = await reconnected();
    assert.deepEqual(again.sent.map(({ type }) => type), ["join"], "nothing before the room is joined again");
    again.joined({ recovered: true });
    const seen = [];
    for (const type of ["chat", "publish", "set", "chat"]) {
      assert.equal(again.sent.length, 1);
      const sent = again.take(type);
      seen.push(sent);
      again.receive({ type: "ack", id: sent.id, seq: seen.length, epoch: "e1", duplicate: seen.length === 1 });
    }
    assert.equal(seen[0].nonce, first.nonce);
    assert.equal(seen[2].if_version, 0);
    assert.equal(new Set(seen.map(({ nonce }) => nonce)).size, 4);
    const acks = await Promise.all([...writes, offline]);
    assert.deepEqual(acks.map(({ seq }) => seq), [1, 2, 3, 4]);
    assert.equal(acks[0].duplicate, true);
  });

  test("one that the log shows after a reconnect counts as acknowledged", async () => {
    const { room, socket } = await inRoom();
    const write = room.chat("hi");
    const { nonce } = socket.take("chat");
    socket.drop();
    const again = await reconnected();
    again.joined({ recovered: true, seq: 3, messages: [chat(3, { user: "ada", nonce })] });
    assert.deepEqual(await write, { seq: 3, epoch: "e1", duplicate: true, nonce });
    assert.deepEqual(again.sent, []);
  });

  test("`rate_limited` and `unavailable` are waited out, in order", async () => {
    const { room, socket } = await inRoom();
    const writes = [room.chat("one"), room.chat("two")];
    const first = socket.take("chat");
    socket.receive({ type: "error", id: first.id, code: "rate_limited", message: "slower", retry_after_ms: 400 });
    clock.tick(399);
    assert.deepEqual(socket.sent, []);
    clock.tick(1);
    const second = socket.take("chat");
    assert.equal(second.nonce, first.nonce);
    socket.receive({ type: "error", id: second.id, code: "unavailable", message: "no broker", retry_after_ms: 1_000 });
    clock.tick(1_000);
    const third = socket.take("chat");
    assert.equal(third.content, "one");
    socket.receive({ type: "ack", id: third.id, seq: 1, epoch: "e1" });
    clock.tick(1_000);
    const next = socket.take("chat");
    assert.equal(next.content, "two");
    socket.receive({ type: "ack", id: next.id, seq: 2, epoch: "e1" });
    assert.deepEqual((await Promise.all(writes)).map(({ seq }) => seq), [1, 2]);
  });

  test("without an answer they are sent again", async () => {
    const { room, socket } = await inRoom({ requestTimeoutMs: 3_000 });
    room.chat("hi").catch(() => {});
    const first = socket.take("chat");
    clock.tick(3_000);
    assert.deepEqual(socket.take("chat"), first);
  });

  test("a refusal for good rejects with its code, and the next one goes", async () => {
    const { room, socket } = await inRoom();
    const refused = rejection(room.set("k", 1, { ifVersion: 3 }));
    const next = room.chat("next");
    const sent = socket.take("set");
    socket.receive({ type: "error", id: sent.id, room: "r", code: "conflict", message: "newer", current: { value: 9, version: 5 } });
    const error = await refused;
    assert.ok(error instanceof RookeryError);
    assert.equal(error.code, "conflict");
    assert.deepEqual(error.current, { value: 9, version: 5 });
    socket.receive({ type: "ack", id: socket.take("chat").id, seq: 6, epoch: "e1" });
    assert.equal((await next).seq, 6);
  });

  test("`not_joined` joins again, once", async () => {
    const { room, socket } = await inRoom();
    const write = rejection(room.chat("hi"));
    socket.receive({ type: "error", id: socket.take("chat").id, room: "r", code: "not_joined", message: "" });
    assert.equal(room.state, "joining");
    socket.joined({ recovered: true });
    socket.receive({ type: "error", id: socket.take("chat").id, room: "r", code: "not_joined", message: "" });
    assert.equal((await write).code, "not_joined");
  });

  test("the queue is bounded", async () => {
    const { client, room } = await inRoom({ maxQueued: 3 });
    for (let n = 0; n < 3; n += 1) room.chat(`${n}`).catch(() => {});
    assert.equal((await rejection(room.chat("one too many"))).code, "queue_full");
    assert.equal(client.queued, 3);
  });

  test("what would be too large is not sent, and a close for size gives up its cause", async () => {
    const { client, room, socket } = await inRoom();
    assert.equal((await rejection(room.chat("é".repeat(40_000)))).code, "too_large");
    assert.deepEqual(socket.sent, []);
    const write = rejection(room.chat("x".repeat(60_000)));
    socket.drop(1009, "too_large");
    assert.equal((await write).code, "too_large");
    assert.equal(client.state, "disconnected");
    assert.equal(client.errors[0].closeCode, 1009);
  });

  test("leaving and closing reject what waits", async () => {
    const { client, room, socket } = await inRoom();
    const write = rejection(room.chat("hi"));
    const left = room.leave();
    assert.equal((await write).code, "left");
    socket.receive({ type: "left", id: socket.take("leave").id, room: "r" });
    await left;
    assert.equal(room.state, "left");
    assert.equal((await rejection(room.chat("again"))).code, "left");
    const other = client.join("other");
    const waiting = rejection(other.chat("hi"));
    client.close();
    assert.equal((await waiting).code, "disconnected");
    assert.equal((await rejection(other.chat("hi"))).code, "disconnected");
  });

  test("nonces do not repeat", () => {
    assert.equal(new Set(Array.from({ length: 100 }, createNonce)).size, 100);
  });
});

describe("rooms", () => {
  test("what is joined before the connection is joined with it", async () => {
    const client = connecting();
    const room = client.join("r", { history: 10 });
    const ready = room.ready();
    await turn();
    last().welcome();
    assert.deepEqual(last().sent, [{ type: "join", id: 1, room: "r", history: 10 }]);
    last().joined();
    assert.equal(await ready, room);
    assert.equal(client.join("r"), room);
  });

  test("a resume names the highest position seen, and repeats are dropped", async () => {
    const { room, socket } = await inRoom({}, { seq: 2, messages: [chat(1), chat(2)] });
    socket.receive(chat(2));
    socket.receive(chat(3));
    socket.receive(chat(3));
    socket.drop();
    const again = await reconnected();
    assert.deepEqual(again.sent[0].since, { epoch: "e1", seq: 3 });
    again.joined({ recovered: true, seq: 5, messages: [chat(3), chat(4), chat(5)] });
    again.receive(chat(5));
    again.receive(chat(6));
    assert.deepEqual(room.log, [[1, true], [2, true], [3, false], [4, true], [5, true], [6, false]]);
    assert.deepEqual(
      room.seen.filter(([event]) => event === "joined" || event === "joining").map(([event, detail]) => [event, detail.recovered, detail.resumed]),
      [["joined", false, false], ["joining", undefined, undefined], ["joined", true, true]],
    );
  });

  test("what could not be recovered is said, and the newest page is given whole", async () => {
    const { room, socket } = await inRoom({}, { seq: 9, messages: [chat(9)] });
    socket.drop();
    (await reconnected()).joined({ epoch: "e2", seq: 2, messages: [chat(1), chat(2)] });
    assert.deepEqual(room.log, [[9, true], [1, true], [2, true]]);
    assert.equal(room.epoch, "e2");
    assert.equal(room.seq, 2);
    assert.deepEqual(room.seen.filter(([event]) => event === "joined").at(-1)[1], { recovered: false, resumed: true, epoch: "e2", seq: 2, count: 0 });
    last().receive(chat(3));
    assert.deepEqual(room.log.at(-1), [3, false]);
  });

  test("a `joined` nobody asked for starts the new epoch", async () => {
    const { room, socket } = await inRoom({}, { seq: 9 });
    socket.receive({ type: "joined", room: "r", epoch: "e2", seq: 1, recovered: false, messages: [chat(1)], members: [], count: 0, state: {} });
    socket.receive(chat(2));
    assert.deepEqual(room.log, [[1, true], [2, false]]);
    assert.equal(room.state, "joined");
  });

  test("a `set` may come late: it counts by its version, and never moves the position back", async () => {
    const { room, socket } = await inRoom({}, { seq: 4, state: { colour: { value: "red", version: 3 } } });
    socket.receive(chat(6));
    socket.receive(setting(5, "colour", "blue"));
    assert.equal(room.seq, 6);
    socket.receive(setting(5, "colour", "old news"));
    socket.receive(setting(4, "size", "covered by joined"));
    assert.deepEqual([...room.shared], [["colour", { value: "blue", version: 5 }]]);
    socket.receive(setting(9, "colour", null));
    socket.receive(setting(8, "colour", "stale"));
    assert.deepEqual([...room.shared], []);
    assert.equal(room.seq, 9);
    assert.deepEqual(room.log.map(([seq]) => seq), [6, 5, 9]);
  });

  test("the snapshot of shared state replaces what was known, and names what changed", async () => {
    const { room, socket } = await inRoom({}, { seq: 3, state: { a: { value: 1, version: 1 }, b: { value: 2, version: 2 } } });
    socket.drop();
    (await reconnected()).joined({ recovered: true, seq: 5, state: { b: { value: 2, version: 2 }, c: { value: 3, version: 5 } } });
    assert.deepEqual([...room.shared.keys()], ["b", "c"]);
    assert.deepEqual(room.seen.filter(([event]) => event === "state").at(-1)[1], { keys: ["a", "c"], snapshot: true });
  });

  test("a large state comes in pages and is one snapshot", async () => {
    const { room, socket } = await inRoom({}, { seq: 3, state: { a: { value: 1, version: 1 }, b: { value: 2, version: 2 } } });
    const before = room.seen.length;
    const write = room.set("d", 4);
    socket.drop();
    const again = await reconnected();
    again.joined({ recovered: true, seq: 5, state: { b: { value: 2, version: 2 } }, state_more: true });
    assert.equal(room.state, "joining", "not before all of it is there");
    assert.deepEqual([...room.shared.keys()], ["a", "b"]);
    again.receive({ type: "state", room: "r", state: { c: { value: 3, version: 5 } }, more: true });
    again.receive({ type: "state", room: "r", state: { a: { value: 0, version: 4 } }, more: false });
    assert.equal(room.state, "joined");
    assert.deepEqual([...room.shared.keys()], ["b", "c", "a"]);
    const changes = room.seen.slice(before).filter(([event]) => event === "state");
    assert.deepEqual(changes, [["state", { keys: ["a", "c"], snapshot: true }]]);
    const { id } = again.take("set");
    again.receive({ type: "ack", id, seq: 6, epoch: "e1" });
    await write;
  });

  test("what is left of a state that was cut in between is not taken for another", async () => {
    const { room, socket } = await inRoom({}, { seq: 3, state: { a: { value: 1, version: 1 } } });
    socket.drop();
    (await reconnected()).joined({ seq: 5, state: { b: { value: 2, version: 2 } }, state_more: true });
    FakeSocket.opened.at(-1).drop();
    const again = await reconnected();
    again.receive({ type: "state", room: "r", state: { c: { value: 3, version: 5 } }, more: false });
    again.joined({ seq: 6, state: { d: { value: 4, version: 6 } } });
    assert.deepEqual([...room.shared.keys()], ["d"]);
  });

  test("presence: a list, then what changed in it", async () => {
    const { room, socket } = await inRoom({}, { members: [member("ada"), member("bob")], count: 2 });
    socket.receive({ type: "presence", room: "r", joined: [member("cy")], updated: [member("bob", { status: "away" })], left: ["ada"], count: 2 });
    socket.receive({ type: "presence", room: "r", joined: [], updated: [member("dee")], left: ["nobody"], count: 3 });
    assert.deepEqual([...room.members.values()].map(({ user, status }) => [user, status]), [["bob", "away"], ["cy", "online"], ["dee", "online"]]);
    assert.equal(room.count, 3);
  });

  test("presence: over the limit only the count is kept, and a whole list replaces it", async () => {
    const { room, socket } = await inRoom({}, { members: [member("ada")], count: 1 });
    socket.receive({ type: "presence", room: "r", joined: [member("zoe")], updated: [], left: [], count: 2 });
    socket.receive({ type: "presence", room: "r", joined: [], updated: [], left: [], count: 2 });
    assert.deepEqual([...room.members.keys()], ["ada", "zoe"], "nothing changed");
    socket.receive({ type: "presence", room: "r", count: 201 });
    assert.equal(room.members.size, 0);
    assert.equal(room.count, 201);
    socket.receive({ type: "presence", room: "r", reset: true, joined: [member("bob"), member("zoe")], updated: [], left: [], count: 2 });
    assert.deepEqual([...room.members.keys()], ["bob", "zoe"], "given whole");
    socket.receive({ type: "presence", room: "r", reset: true, joined: [member("bob")], updated: [], left: [], count: 1 });
    assert.deepEqual([...room.members.keys()], ["bob"], "in place of the list before");
    assert.deepEqual(socket.sent, []);
    socket.receive({ type: "presence", room: "r", count: 201 });
    socket.receive({ type: "presence", room: "r", joined: [], updated: [], left: ["zoe"], count: 200 });
    const asked = socket.take("presence");
    socket.receive({ type: "members", id: asked.id, room: "r", members: [member("ada"), member("bob")], count: 2 });
    await turn();
    assert.deepEqual([...room.members.keys()], ["ada", "bob"]);
  });

  test("typing: sent sparingly, taken back after a pause, forgotten when silent", async () => {
    const { room, socket } = await inRoom();
    for (let key = 0; key < 20; key += 1) {
      room.typing();
      clock.tick(200);
    }
    assert.equal(socket.sent.filter(({ active }) => active).length, 2);
    clock.tick(5_000);
    assert.equal(socket.sent.at(-1).active, false);
    socket.receive({ type: "typing", room: "r", user: "bob", active: true });
    assert.deepEqual(room.typingUsers, ["bob"]);
    clock.tick(7_000);
    assert.deepEqual(room.typingUsers, []);
    socket.receive({ type: "typing", room: "r", user: "bob", active: true });
    socket.receive(chat(1));
    assert.deepEqual(room.typingUsers, []);
  });

  test("signals go now or not at all", async () => {
    const { room, socket } = await inRoom();
    assert.equal(room.signal("cursor", { x: 1 }), true);
    assert.deepEqual(socket.take("signal"), { type: "signal", room: "r", event: "cursor", data: { x: 1 } });
    socket.bufferedAmount = 2 << 20;
    assert.equal(room.signal("cursor", { x: 2 }), false);
    socket.receive({ type: "signal", room: "r", user: "bob", event: "cursor", data: 4 });
    assert.deepEqual(room.seen.at(-1), ["signal", { user: "bob", event: "cursor", data: 4 }]);
    socket.drop();
    assert.equal(room.signal("cursor", { x: 3 }), false);
  });

  test("a refused join leaves the room and tells why; a passing refusal does not", async () => {
    const client = await connected();
    const room = client.join("r");
    const failed = rejection(room.ready());
    last().receive({ type: "error", id: last().take("join").id, room: "r", code: "rate_limited", message: "", retry_after_ms: 100 });
    assert.equal(room.state, "joining");
    clock.tick(500);
    last().receive({ type: "error", id: last().take("join").id, room: "r", code: "forbidden", message: "no grant" });
    assert.equal((await failed).code, "forbidden");
    assert.equal(room.state, "left");
    assert.equal(client.rooms.size, 0);
  });

  test("left and joined again: late answers to the first membership do not count", async () => {
    const { client, room, socket } = await inRoom();
    room.leave().catch(() => {});
    const again = client.join("r");
    assert.notEqual(again, room);
    const seen = [];
    again.on("message", ({ seq }) => seen.push(seq));
    socket.receive(chat(1));
    socket.receive({ type: "joined", id: -1, room: "r", epoch: "e1", seq: 9, recovered: false, messages: [], members: [], count: 0, state: {} });
    socket.receive({ type: "left", id: socket.take("leave").id, room: "r" });
    assert.equal(again.state, "joining");
    socket.joined({ seq: 1 });
    socket.receive(chat(2));
    assert.deepEqual(seen, [2]);
  });

  test("a leave is not repeated after a reconnect", async () => {
    const { client, room, socket } = await inRoom();
    const left = room.leave();
    socket.drop();
    await left;
    assert.deepEqual((await reconnected()).sent, []);
    assert.equal(client.rooms.size, 0);
  });
});

describe("requests", () => {
  test("history pages", async () => {
    const { room, socket } = await inRoom();
    const page = room.history({ before: 51, limit: 2 });
    const { id, ...asked } = socket.take("history");
    assert.deepEqual(asked, { type: "history", room: "r", before: 51, limit: 2 });
    socket.receive({ type: "history", id, room: "r", epoch: "e1", messages: [chat(49), chat(50)], more: true });
    const { epoch, messages, more } = await page;
    assert.deepEqual([epoch, messages.map(({ seq }) => seq), more], ["e1", [49, 50], true]);
  });

  test("are sent again after a reconnect, and end with a timeout", async () => {
    const { room, socket } = await inRoom({ minDelayMs: 10 });
    const answered = room.history();
    socket.take("history");
    socket.drop();
    clock.tick(10);
    await turn();
    last().welcome();
    last().receive({ type: "history", id: last().take("history").id, room: "r", epoch: "e1", messages: [], more: false });
    assert.equal((await answered).more, false);
    const unanswered = rejection(room.history());
    clock.tick(10_000);
    assert.equal((await unanswered).code, "timeout");
  });

  test("own status and watched users are told again to a new connection", async () => {
    const client = await connected();
    const socket = last();
    const done = Promise.all([client.status("busy", { desk: 4 }), client.watch(["bob"])]);
    socket.receive({ type: "ack", id: socket.take("status").id });
    socket.receive({ type: "online", id: socket.take("watch").id, users: { bob: "away" } });
    assert.deepEqual([...(await done)[1]], [["bob", "away"]]);
    socket.receive({ type: "online", users: { bob: "offline" } });
    assert.equal(client.online.get("bob"), "offline");
    socket.drop();
    const again = await reconnected();
    assert.deepEqual(again.sent, [{ type: "status", status: "busy", meta: { desk: 4 } }, { type: "watch", users: ["bob"] }]);
  });

  test("direct messages: each once, also where unseen ones come again", async () => {
    const client = await connected({}, { inbox: { epoch: "i", seq: 4 } });
    const seen = [];
    client.on("direct", ({ seq, content }) => seen.push([seq, content]));
    const direct = (seq) => ({ type: "direct", seq, from: "bob", to: "ada", content: `d${seq}`, timestamp: 1 });
    last().receive(direct(5));
    last().receive({ type: "direct", from: "ada", to: "bob", content: "mine", timestamp: 1 });
    last().drop();
    await reconnected({ inbox: { epoch: "i", seq: 4 } });
    last().receive(direct(5));
    last().receive(direct(6));
    assert.deepEqual(seen, [[5, "d5"], [undefined, "mine"], [6, "d6"]]);
    const sent = client.direct("bob", { event: "nudge" });
    const message = last().take("direct");
    assert.deepEqual([message.to, message.event, message.data], ["bob", "nudge", null]);
    last().receive({ type: "ack", id: message.id, seq: 1, epoch: "b" });
    assert.equal((await sent).seq, 1);
    const done = client.seen(6);
    last().receive({ type: "ack", id: last().take("seen").id });
    await done;
  });
});

describe("what others send", () => {
  test("names like __proto__ are names", async () => {
    const { room, socket } = await inRoom();
    socket.receive('{"type":"set","room":"r","seq":1,"version":1,"user":"__proto__","key":"__proto__","value":{"polluted":1},"timestamp":1}');
    socket.receive({ type: "presence", room: "r", joined: [member("constructor")], updated: [], left: [], count: 1 });
    socket.receive('{"type":"typing","room":"__proto__","user":"x","active":true}');
    assert.deepEqual([...room.shared.keys()], ["__proto__"]);
    assert.equal({}.polluted, undefined);
    assert.deepEqual([...room.members.keys()], ["constructor"]);
  });

  test("noise and unknown types do no harm", async () => {
    const { client, room, socket } = await inRoom();
    for (const noise of ["", "{", "null", "5", "[]", '{"type":"from the future","room":"r"}', '{"type":"ack","id":99}']) socket.receive(noise);
    assert.deepEqual(client.errors.map(({ code }) => code), ["bad_json", "bad_json"]);
    socket.receive(chat(1));
    assert.deepEqual(room.log, [[1, false]]);
  });

  test("errors without an owner reach the room they name, else the client", async () => {
    const { client, room, socket } = await inRoom();
    socket.receive({ type: "error", room: "r", code: "forbidden", message: "no grant for signal" });
    socket.receive({ type: "error", code: "unknown_type", message: "what?" });
    assert.equal(room.seen.at(-1)[1].code, "forbidden");
    assert.deepEqual(client.errors.map(({ code }) => code), ["unknown_type"]);
  });
});

test("rookery.d.ts declares every public name", async () => {
  const types = await readFile(new URL("../../static/rookery.d.ts", import.meta.url), "utf8");
  const { room } = await inRoom();
  const names = [Rookery, room.constructor].flatMap(({ prototype }) => Object.getOwnPropertyNames(prototype));
  for (const name of names) assert.match(types, new RegExp(`\\b${name}\\b`), name);
});
