/**
 * rookery.js against the server itself, without a browser, over a network
 * that breaks: what was written is in the log once, in order, and every
 * reader has read all of it.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Gateway, Network, Server } from "./harness.mjs";

const ROUNDS = 12;

/** Follows a room as an application would: a list that `recovered: false` empties. */
function follow(room) {
  const log = [];
  const waiting = new Set();
  room.on("joined", ({ recovered }) => recovered || log.splice(0));
  room.on("message", (message) => {
    log.push(message);
    for (const look of waiting) look();
  });
  const until = (holds) =>
    new Promise((resolve) => {
      const look = () => holds(log) && (waiting.delete(look), resolve());
      waiting.add(look);
      look();
    });
  return { log, until };
}

const said = (log, text) => log.some(({ content }) => content === text);

/** What holds, holds by whichever way the clients come. */
function each(name, options, body) {
  for (const transport of ["websocket", "events"]) test(`${name} (${transport})`, options, () => body(transport));
}

async function withServer(transport, env, body) {
  const server = await Server.start(env);
  const networks = [];
  const clients = [];
  try {
    await body({
      server,
      guest: async (name, { broken = false, ...options } = {}) => {
        const network = broken ? await Network.to(server.url) : server;
        if (broken) networks.push(network);
        const posts = new Set();
        const noted = (url, init) => {
          const answer = fetch(url, init);
          if (init?.method === "POST") posts.add(answer.then((response) => response.clone().text()).catch(() => {}));
          return answer;
        };
        const client = await server.guest(name, network, { transport, minDelayMs: 20, maxDelayMs: 200, fetch: noted, ...options });
        clients.push(client);
        // By events the next message waits for the answer to the post before, which a
        // network that falls silent would swallow.
        const answered = () => Promise.all(posts);
        return { client, network, answered };
      },
    });
  } finally {
    for (const client of clients) client.close();
    for (const network of networks) network.close();
    await server.dispose();
  }
}

each("a network that breaks again and again loses nothing and doubles nothing", { timeout: 60_000 }, (transport) =>
  withServer(transport, {}, async ({ guest }) => {
    const [{ client: observer }, { client: writer, network }, { client: reader, network: other }] = await Promise.all([
      guest("Observer"),
      guest("Writer", { broken: true }),
      guest("Reader", { broken: true }),
    ]);
    const [watched, written, read] = [observer, writer, reader].map((client) => client.join("r"));
    const [truth, own, remote] = [watched, written, read].map(follow);
    await Promise.all([watched, written, read].map((room) => room.ready()));

    const expected = [];
    const acks = [];
    const write = (text, echo) => {
      expected.push(text);
      acks.push(written.chat(text, { echo }));
    };
    for (let round = 0; round < ROUNDS; round += 1) {
      write(`${round} in peace`);
      await acks.at(-1);
      // The next arrives, and its ack does not. (By events other tests see to that.)
      const unheard = transport === "websocket" && round % 2 === 0;
      if (unheard) network.mute();
      write(`${round} unsure`);
      if (unheard) await truth.until((log) => said(log, `${round} unsure`));
      network.cut();
      if (round % 3 === 0) other.cut();
      for (const part of ["a", "b", "c"]) write(`${round} offline ${part}`);
      network.heal();
      other.heal();
      await Promise.all(acks);
    }
    const all = (log) => log.length >= expected.length;
    await Promise.all([truth, own, remote].map(({ until }) => until(all)));
    for (const { log } of [truth, own, remote]) {
      assert.deepEqual(log.map(({ content }) => content), expected);
      assert.deepEqual(log.map(({ seq }) => seq), expected.map((_, index) => index + 1));
    }
    assert.deepEqual((await Promise.all(acks)).map(({ seq }) => seq), expected.map((_, index) => index + 1));
    assert.equal(writer.queued, 0);
  }));

each("a network that falls silent, with nothing said, is noticed and left", { timeout: 30_000 }, (transport) =>
  withServer(transport, { ROOKERY__HEARTBEAT__INTERVAL: "1s", ROOKERY__HEARTBEAT__TIMEOUT: "1s" }, async ({ guest }) => {
    const [{ client: ada, network }, { client: ben }] = await Promise.all([guest("Ada", { broken: true }), guest("Ben")]);
    const room = ada.join("r");
    const { log, until } = follow(room);
    await room.ready();
    const lost = new Promise((resolve) => ada.on("state", ({ state, reason }) => state === "connecting" && resolve(reason)));
    network.mute();
    await ben.join("r").chat("unheard");
    assert.equal(await lost, "heartbeat_timeout");
    network.heal();
    await until(() => log.length === 1);
    assert.equal(log[0].content, "unheard");
  }));

each("`echo: false` stays left out for the session, over a reconnect too", { timeout: 30_000 }, (transport) =>
  withServer(transport, {}, async ({ guest }) => {
    const { client: observer } = await guest("Observer");
    const { client: writer, network, answered } = await guest("Writer", { broken: true });
    const truth = follow(observer.join("r"));
    const room = writer.join("r");
    const own = follow(room);
    await Promise.all([room.ready(), observer.join("r").ready()]);
    const session = writer.session;
    await answered();
    network.mute();
    const quiet = room.chat("quiet", { echo: false });
    await truth.until((log) => said(log, "quiet"));
    network.cut();
    network.heal();
    await quiet;
    await room.chat("loud");
    await own.until((log) => said(log, "loud"));
    assert.deepEqual(own.log.map(({ content }) => content), ["loud"]);
    assert.equal(writer.session, session);
  }));

each("a restarted server: the new life of the log is told, and what waited is written into it", { timeout: 60_000 }, (transport) =>
  withServer(transport, {}, async ({ server, guest }) => {
    const { client } = await guest("Ada");
    const room = client.join("r");
    const joins = [];
    room.on("joined", ({ recovered, resumed }) => joins.push({ recovered, resumed }));
    const { log, until } = follow(room);
    const { epoch } = await room.chat("before");
    await server.stop();
    const waiting = room.chat("meanwhile");
    const order = room.chat("and then");
    await server.start();
    assert.notEqual((await waiting).epoch, epoch);
    await order;
    await until(() => log.length === 2);
    assert.deepEqual(log.map(({ content }) => content), ["meanwhile", "and then"]);
    assert.deepEqual(joins.at(-1), { recovered: false, resumed: true });
  }));

each("more than the server takes in a second is paced, kept in order, and not punished", { timeout: 60_000 }, (transport) =>
  withServer(transport, { ROOKERY__LIMITS__MESSAGES_PER_SECOND: "20" }, async ({ guest }) => {
    const { client } = await guest("Ada");
    const states = [];
    client.on("state", ({ state }) => states.push(state));
    const room = client.join("r");
    const { log, until } = follow(room);
    const texts = Array.from({ length: 80 }, (_, n) => `line ${n}`);
    await Promise.all(texts.map((text) => room.chat(text)));
    await until(() => log.length >= texts.length);
    assert.deepEqual(log.map(({ content }) => content), texts);
    assert.deepEqual(states, []);
  }));

each("over the presence limit there is a count, and a list again below it", { timeout: 30_000 }, (transport) =>
  withServer(transport, { ROOKERY__ROOMS__PRESENCE_LIMIT: "2" }, async ({ guest }) => {
    const { client: ada } = await guest("Ada");
    const room = ada.join("r");
    await room.ready();
    const count = (wanted) =>
      new Promise((resolve) => {
        const look = () => room.count === wanted && resolve();
        room.on("presence", look);
        look();
      });
    const others = [];
    for (const name of ["Ben", "Cy"]) {
      const { client } = await guest(name);
      await client.join("r").ready();
      others.push(client);
    }
    await count(3);
    assert.deepEqual([...room.members.keys()], []);
    await others[0].join("r").leave();
    await count(2);
    assert.deepEqual([...room.members.keys()].sort(), [ada.user, others[1].user].sort());
  }));

each("a compare-and-set decides between two, and a retry of the winner does not conflict", { timeout: 30_000 }, (transport) =>
  withServer(transport, {}, async ({ guest }) => {
    const [{ client: ada, network, answered }, { client: ben }] = await Promise.all([guest("Ada", { broken: true }), guest("Ben")]);
    const [one, other] = [ada.join("r"), ben.join("r")];
    await Promise.all([one.ready(), other.ready()]);
    await answered();
    network.mute();
    const first = one.set("k", "ada", { ifVersion: 0 });
    await new Promise((resolve) => other.on("state", resolve));
    const refused = await other.set("k", "ben", { ifVersion: 0 }).catch((error) => error);
    assert.equal(refused.code, "conflict");
    assert.equal(refused.current.value, "ada");
    network.cut();
    network.heal();
    assert.equal((await first).seq, refused.current.version);
    assert.deepEqual(one.shared.get("k"), refused.current);
  }));

test("where no WebSocket gets through events do, and when one does it takes over; nothing is lost or doubled", { timeout: 60_000 }, () =>
  withServer("auto", {}, async ({ server, guest }) => {
    const gateway = await Gateway.to(server.url);
    try {
      const { client: observer } = await guest("Observer");
      const truth = follow(observer.join("r"));
      const options = { transport: "auto", minDelayMs: 20, maxDelayMs: 200, socketRetryMs: 100 };
      const client = await server.guest("Ada", gateway, options);
      assert.deepEqual([client.transport, gateway.refused >= 2], ["events", true]);
      const room = client.join("r");
      const own = follow(room);
      await Promise.all([room.ready(), observer.join("r").ready()]);

      const session = client.session;
      const ways = [];
      const expected = [];
      const say = async () => {
        expected.push(`line ${expected.length}`);
        await room.chat(expected.at(-1));
        ways.push(client.transport);
      };
      while (gateway.refused < 4) await say();
      gateway.open = true;
      while (client.transport !== "websocket") await say();
      for (let more = 0; more < 20; more += 1) await say();
      for (const { log, until } of [truth, own]) {
        await until((log) => log.length >= expected.length);
        assert.deepEqual(log.map(({ content }) => content), expected);
      }
      assert.deepEqual(new Set(ways), new Set(["events", "websocket"]));
      assert.equal(client.session, session);
      client.close();
    } finally {
      gateway.close();
    }
  }));
