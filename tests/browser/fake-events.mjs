/**
 * For the tests of rookery.js: a `fetch` whose server is the test. It goes with
 * the sockets and the clock of fake-server.mjs.
 */

import assert from "node:assert/strict";
import { connecting, turn } from "./fake-server.mjs";

/** A server of events: `streams` that were asked for, and `posts` not yet answered. */
export class FakeEvents {
  streams = [];
  posts = [];

  fetch = (url, options) =>
    new Promise((resolve, reject) => {
      options.signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      const asked = { url: new URL(url), headers: new Headers(options.headers), fail: () => reject(new TypeError("no network")) };
      if (options.method === "POST") {
        asked.messages = JSON.parse(options.body);
        asked.answer = (status, headers = {}) => {
          this.posts.splice(this.posts.indexOf(asked), 1);
          resolve(new Response(status === 202 ? "{}" : null, { status, headers }));
        };
        this.posts.push(asked);
      } else {
        asked.refuse = (status) => resolve(new Response("{}", { status }));
        asked.open = () => {
          const body = new ReadableStream({ start: (controller) => (asked.controller = controller) });
          options.signal.addEventListener("abort", () => (asked.aborted = true));
          resolve(new Response(body, { status: 200 }));
        };
        asked.write = (text) => asked.controller.enqueue(new TextEncoder().encode(text));
        asked.end = () => asked.controller.close();
        this.streams.push(asked);
      }
    });

  get stream() {
    return this.streams.at(-1);
  }

  /** The stream asked for last opens with a `welcome`. */
  async welcome(fields = {}) {
    this.stream.open();
    await settled();
    this.stream.write("retry: 1000\n\n");
    await this.tell({
      type: "welcome",
      session: "s1",
      user: "ada",
      node: "n1",
      heartbeat: { interval_ms: 25_000, timeout_ms: 10_000 },
      expires_at: null,
      limits: { message_bytes: 65_536 },
      inbox: { epoch: "i", seq: 0 },
      ...fields,
    });
  }

  async tell(message) {
    this.stream.write(`data: ${JSON.stringify(message)}\n\n`);
    await settled();
  }

  /** The messages of the post under way, which is then answered. */
  async take(status = 202, headers) {
    assert.equal(this.posts.length, 1, "one post at a time");
    const { messages, answer } = this.posts[0];
    answer(status, headers);
    await settled();
    return messages;
  }
}

/** Lets a stream's bytes come through. */
export async function settled() {
  for (let round = 0; round < 5; round += 1) await turn();
}

/** A client over events alone, with its welcome. */
export async function listening(options = {}) {
  const server = new FakeEvents();
  const client = connecting({ transport: "events", fetch: server.fetch, ...options });
  await settled();
  await server.welcome();
  return { client, server };
}
