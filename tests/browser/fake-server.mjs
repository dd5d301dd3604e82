/**
 * For the tests of rookery.js: a socket whose server is the test, in a time
 * that only the test moves. Nothing here waits.
 */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock } from "node:test";
import { Rookery } from "../../static/rookery.js";

/** A WebSocket whose server is the test. */
export class FakeSocket {
  static opened = [];
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  closedWith;

  constructor(url, protocols) {
    this.url = new URL(url);
    this.protocols = protocols;
    FakeSocket.opened.push(this);
  }
  send(text) {
    assert.equal(this.readyState, 1, "sent into a socket that is not open");
    this.sent.push(JSON.parse(text));
  }
  close(code) {
    this.readyState = 3;
    this.closedWith = code ?? null;
  }
  receive(message) {
    this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }
  welcome(fields = {}) {
    this.readyState = 1;
    this.receive({
      type: "welcome",
      session: "s1",
      user: "ada",
      node: "n1",
      protocol: 1,
      heartbeat: { interval_ms: 25_000, timeout_ms: 10_000 },
      expires_at: null,
      limits: { message_bytes: 65_536 },
      inbox: { epoch: "i", seq: 0 },
      ...fields,
    });
  }
  drop(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
  take(type) {
    const index = this.sent.findIndex((message) => message.type === type);
    assert.notEqual(index, -1, `no ${type} among ${JSON.stringify(this.sent)}`);
    return this.sent.splice(index, 1)[0];
  }
  /** Answers the join under way. */
  joined(fields = {}) {
    const { id, room } = this.take("join");
    this.receive({
      type: "joined",
      id,
      room,
      epoch: "e1",
      seq: 0,
      recovered: false,
      messages: [],
      members: [],
      count: 0,
      state: {},
      ...fields,
    });
  }
}

/** Lets what is pending happen. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));
/** The socket opened last. */
export const last = () => FakeSocket.opened.at(-1);
export const chat = (seq, fields = {}) => ({ type: "chat", room: "r", seq, user: "bob", content: `m${seq}`, timestamp: seq, ...fields });
export const setting = (seq, key, value) => ({ type: "set", room: "r", seq, version: seq, user: "bob", key, value, timestamp: seq });
export const member = (user, fields = {}) => ({ user, name: user.toUpperCase(), status: "online", sessions: 1, since: 1, meta: null, ...fields });

/** The time of the tests. */
export const clock = mock.timers;
const clients = [];

beforeEach(() => {
  FakeSocket.opened = [];
  clock.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  mock.method(Math, "random", () => 0.5);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  clock.reset();
  mock.restoreAll();
});

/** A client on its way; what it says is kept in `states` and `errors`. */
export function connecting(options = {}) {
  const client = new Rookery("https://example.org/ws", { transport: "websocket", WebSocket: FakeSocket, token: "a.b.c", networkEvents: new EventTarget(), ...options });
  clients.push(client);
  client.states = [];
  client.errors = [];
  client.on("state", (change) => client.states.push(change));
  client.on("error", (error) => client.errors.push(error));
  client.connect();
  return client;
}

/** A client with its welcome. */
export async function connected(options, welcome) {
  const client = connecting(options);
  await turn();
  last().welcome(welcome);
  return client;
}

/** A client in the room `r`; what it hears there is kept in `log` and `seen`. */
export async function inRoom(options, fields) {
  const client = await connected(options);
  const room = client.join("r", { history: 10 });
  room.log = [];
  room.seen = [];
  for (const event of ["joined", "presence", "state", "typing", "signal", "joining", "left", "error"]) {
    room.on(event, (detail) => room.seen.push([event, detail]));
  }
  room.on("message", (message, { replayed }) => room.log.push([message.seq, replayed]));
  last().joined(fields);
  return { client, room, socket: last() };
}

/** Lets the client come back after a loss, as far as the handshake. */
export async function reconnected(welcome) {
  clock.tick(30_000);
  await turn();
  last().welcome(welcome);
  return last();
}

/** What a promise rejects with. */
export const rejection = (promise) => promise.then(() => assert.fail("it was not rejected"), (error) => error);
