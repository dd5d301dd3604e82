/**
 * What the browser tests and the screenshots share: a server process of their
 * own, a browser, and people who talk without one.
 */

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { WebSocket } from "ws";
import { Rookery } from "../../static/rookery.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The program under test. */
export const BINARY = path.resolve(ROOT, process.env.ROOKERY_BIN ?? "target/release/rookery");
const START_MS = 15_000;
const STOP_MS = 15_000;
/** Fixed, so that tokens outlive a restart. */
export const SECRET = "browser-tests-only-0123456789abcdef0123456789abcdef";

// Whatever ends this process ends the servers it started.
const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** One server process. `stop` and `start` again keep its port. */
export class Server {
  #child = null;
  #env;
  #directory;
  #files;
  #log = "";

  static async start(env = {}, files = {}) {
    const server = new Server(env, files);
    await server.start();
    return server;
  }

  /** `files` are written into the folder where it is started, which is `directory`. */
  constructor(env, files) {
    this.#env = { ...env };
    this.#files = files;
  }

  get directory() {
    return this.#directory;
  }

  /** Starts the process (again), with these changes to its environment. */
  async start(env = {}) {
    Object.assign(this.#env, env);
    // A directory of its own: no config.toml of the checkout may interfere.
    this.#directory ??= await mkdtemp(path.join(tmpdir(), "rookery-browser-"));
    for (const [name, text] of Object.entries(this.#files)) await writeFile(path.join(this.#directory, name), text);
    const listen = this.url ? new URL(this.url).host : "127.0.0.1:0";
    const child = spawn(BINARY, [], {
      cwd: this.#directory,
      env: {
        ...process.env,
        ROOKERY__SERVER__LISTEN: listen,
        ROOKERY__SERVER__WORKERS: "2",
        // A machine that tests keep busy is no reason to refuse them.
        ROOKERY__SHEDDING__WORKER_DELAY: "0s",
        ROOKERY__AUTH__SECRET: SECRET,
        ROOKERY__AUTH__GUEST: "on",
        ...this.#env,
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    this.url = await new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${BINARY} ${why}\n${this.#log}`));
      const timer = setTimeout(() => fail("did not say where it listens"), START_MS);
      child.on("error", (error) => fail(`did not start: ${error.message}`));
      child.on("exit", (code) => fail(`ended with ${code}`));
      child.stderr.setEncoding("utf8").on("data", (text) => {
        this.#log = (this.#log + text).slice(-20_000);
        const found = this.#log.match(/listening on (http:\/\/\S+)\n/);
        if (found) {
          clearTimeout(timer);
          resolve(found[1]);
        }
      });
    });
  }

  /** Ends the process; a signal that asks for patience gets a bounded amount of it. */
  async stop(signal = "SIGTERM") {
    const child = this.#child;
    this.#child = null;
    this.#log = "";
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  }

  async dispose() {
    await this.stop("SIGKILL");
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** A token as a backend would sign it. */
  token(sub, claims = {}) {
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const exp = Math.floor(Date.now() / 1000) + 600;
    const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub, exp, ...claims })}`;
    return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
  }

  /** Somebody who talks without a browser, over the network given. */
  async guest(name, network = this, options = {}) {
    const response = await fetch(new URL("/auth/guest", this.url), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name }),
    });
    const { token } = await response.json();
    return connect(network.url, token, options);
  }

  /** The same for a user with a token of their own. */
  user(sub, claims) {
    return connect(this.url, this.token(sub, claims));
  }
}

function connect(url, token, options) {
  return new Rookery(new URL("/ws", url), { token, WebSocket, ...options }).connect().ready();
}

/** A network between a browser and a server, which can break in the ways networks do. */
export class Network {
  #listener;
  #target;
  #pairs = new Set();
  #muted = false;
  #broken = false;

  static async to(url) {
    const network = new Network(new URL(url));
    await new Promise((resolve) => network.#listener.listen(0, "127.0.0.1", resolve));
    network.url = `http://127.0.0.1:${network.#listener.address().port}`;
    return network;
  }

  constructor(target) {
    this.#target = target;
    this.#listener = net.createServer((near) => this.#link(near));
  }

  /** From here on nothing of what the server says arrives; what is said to it does. */
  mute() {
    this.#muted = true;
  }

  /** Every connection breaks, and no new one comes about until `heal`. */
  cut() {
    this.#broken = true;
    for (const socket of this.#pairs) socket.resetAndDestroy();
    this.#pairs.clear();
  }

  heal() {
    this.#broken = this.#muted = false;
  }

  close() {
    this.cut();
    this.#listener.close();
  }

  #link(near) {
    near.on("error", () => {});
    if (this.#broken) {
      near.resetAndDestroy();
      return;
    }
    const far = net.connect(Number(this.#target.port), this.#target.hostname);
    far.on("error", () => near.destroy());
    this.#pairs.add(near).add(far);
    near.on("data", (bytes) => far.write(bytes));
    far.on("data", (bytes) => {
      if (this.#muted || near.write(bytes)) return;
      // The server is to feel a slow reader behind this, as it would on a network of its own.
      far.pause();
      near.once("drain", () => far.resume());
    });
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
  }
}

/** A proxy that knows nothing of WebSockets: it answers 400 to each, until it is `open`. */
export class Gateway {
  open = false;
  /** How many WebSockets it did not let through. */
  refused = 0;
  #listener;
  #sockets = new Set();

  static async to(url) {
    const gateway = new Gateway(new URL(url));
    await new Promise((resolve) => gateway.#listener.listen(0, "127.0.0.1", resolve));
    gateway.url = `http://127.0.0.1:${gateway.#listener.address().port}`;
    return gateway;
  }

  constructor(target) {
    this.#listener = http.createServer((request, response) => {
      const { method, url, headers } = request;
      const onward = http.request(new URL(url, target), { method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        response.flushHeaders();
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      request.pipe(onward);
    });
    this.#listener.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
    });
    this.#listener.on("upgrade", ({ url, rawHeaders }, near) => {
      if (!this.open) {
        this.refused += 1;
        near.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      const far = net.connect(Number(target.port), target.hostname);
      const lines = [];
      for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}\r\n`);
      far.write(`GET ${url} HTTP/1.1\r\n${lines.join("")}\r\n`);
      far.on("error", () => near.destroy()).on("close", () => near.destroy());
      near.on("close", () => far.destroy());
      near.pipe(far).pipe(near);
    });
  }

  close() {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** What the browser itself notes of a connection that breaks, and of the question whether the token still holds. */
export const NETWORK_NOISE = /WebSocket connection to|ERR_CONNECTION|ERR_SOCKET_NOT_CONNECTED|ERR_INTERNET_DISCONNECTED|ERR_EMPTY_RESPONSE|status of (400|426|503)/;

export function launchBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A window of its own (own cookies, own storage), with its complaints collected. */
export async function openWindow(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  await page.goto(url);
  return page;
}

/** Signs in as a guest and waits until the room is joined. */
export async function signIn(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Enter" }).click();
  await page.locator('#connection[data-state="connected"]').waitFor();
  await page.locator("#members").getByText("(you)").waitFor({ state: "attached" });
}

/** Writes into the message field and sends it by key. */
export async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByLabel("Message", { exact: true }).press("Enter");
}

/** The texts shown in the log, in order, own ones on their way included. */
export function texts(page) {
  return page.locator("#log .text").allTextContents();
}

/** Asks again and again until there is an answer, and gives it. */
export async function eventually(what, probe) {
  const end = Date.now() + 30_000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
