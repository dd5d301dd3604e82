/**
 * The app of docs/guide.md: its files as they stand there, in two windows.
 */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { NETWORK_NOISE, Network, SECRET, Server, launchBrowser, openWindow } from "./harness.mjs";

const KEY = "a-key-of-the-guide";
const guide = await readFile(new URL("../../docs/guide.md", import.meta.url), "utf8");
const { "config.toml": config, ...files } = Object.fromEntries(
  [...guide.matchAll(/^`(\S+)`\n\n```\w+\n(.*?)^```$/gms)].map(([, name, text]) => [name, text]),
);
const commands = [...guide.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text);

let browser;
before(async () => {
  browser = await launchBrowser();
});
after(() => browser?.close());

/** The backend, at a port of its own, and where it is. It and its pages reach the server over a network. */
async function startBackend(server, network) {
  const env = { ...process.env, ROOKERY__AUTH__SECRET: SECRET, ROOKERY__API__KEYS: KEY, ROOKERY_URL: network.url, PORT: "0" };
  const child = spawn(process.execPath, ["server.mjs"], { cwd: server.directory, env, stdio: ["ignore", "pipe", "inherit"] });
  process.once("exit", () => child.kill("SIGKILL"));
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the backend ended with ${code}`)));
    child.stdout.setEncoding("utf8").once("data", (text) => resolve(text.trim()));
  });
  return { child, url };
}

async function comeIn(url, name) {
  const page = await openWindow(browser, url);
  page.setDefaultTimeout(30_000);
  await page.getByPlaceholder("Your name").fill(name);
  await page.getByRole("button", { name: "Come in" }).click();
  await page.locator("#connection").getByText("connected", { exact: true }).waitFor();
  return page;
}

async function say(page, text) {
  await page.getByPlaceholder("Say something").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

const line = (page, text) => page.locator("#log").getByText(text, { exact: true });

/** Runs a command of the guide against these servers. */
function run(command, server, backend) {
  const text = command.replaceAll("http://localhost:8080", server.url).replaceAll("http://localhost:3000", backend?.url);
  const env = { ...process.env, ROOKERY__API__KEYS: KEY };
  return promisify(execFile)("bash", ["-euo", "pipefail", "-c", text], { cwd: server.directory, env });
}

test("the app of the guide does what the guide says", { timeout: 120_000 }, async () => {
  assert.deepEqual(Object.keys(files).sort(), ["app.js", "index.html", "server.mjs"]);
  const server = await Server.start({ ROOKERY__API__KEYS: KEY, ROOKERY__AUTH__GUEST: "off" }, files);
  const network = await Network.to(server.url);
  let backend;
  const windows = [];
  try {
    const module = commands.flatMap((block) => block.split("\n")).find((text) => text.includes("rookery.js"));
    await run(module, server);
    backend = await startBackend(server, network);
    // Now that the backend's port is known, Rookery is told by the guide's own file.
    await server.stop();
    assert.ok(config.includes("http://localhost:3000"));
    await writeFile(path.join(server.directory, "config.toml"), config.replace("http://localhost:3000", backend.url));
    await server.start();

    const ada = await comeIn(backend.url, "Ada");
    const ben = await comeIn(backend.url, "Ben");
    windows.push(ada, ben);
    for (const page of windows) await page.locator("#people").getByText("Ada, Ben", { exact: true }).waitFor();

    await ada.getByRole("button", { name: "soup 0" }).click();
    await ben.getByRole("button", { name: "soup 1" }).waitFor();
    await line(ben, "Ada votes for soup").waitFor();
    await ben.getByRole("button", { name: "curry 0" }).click();
    await ada.getByRole("button", { name: "curry 1" }).waitFor();
    await ada.getByRole("button", { name: "curry 1" }).click();
    await ben.getByRole("button", { name: "soup 0" }).waitFor();
    await ben.getByRole("button", { name: "curry 2" }).waitFor();

    await say(ada, "curry it is");
    await line(ben, "Ada: curry it is").waitFor();
    await run(commands.find((text) => text.includes("/messages")), server, backend);
    for (const page of windows) await line(page, "kitchen: Soup is out").waitFor();

    // Nobody votes as somebody else, or for what is not there.
    const vote = (body, headers = {}) => fetch(`${backend.url}/vote`, { method: "POST", headers, body: JSON.stringify(body) });
    assert.equal((await vote({ dish: "soup" })).status, 401);
    assert.equal((await vote({ dish: "soup" }, { Authorization: `Bearer ${server.token("Ada").slice(0, -4)}AAAA` })).status, 401);
    assert.equal((await vote({ dish: "pizza" }, { Authorization: `Bearer ${server.token("Ada")}` })).status, 400);

    // What was said while the network was away is there once, in the same order.
    network.cut();
    for (const page of windows) await page.locator("#connection").getByText("connecting", { exact: true }).waitFor();
    await say(ben, "from the tunnel");
    await say(ada, "are you there?");
    network.heal();
    for (const page of windows) {
      await line(page, "Ben: from the tunnel").waitFor();
      await line(page, "Ada: are you there?").waitFor();
    }
    const said = await ada.locator("#log li").allTextContents();
    assert.deepEqual(await ben.locator("#log li").allTextContents(), said);
    assert.equal(new Set(said).size, said.length);

    await ben.context().close();
    await ada.locator("#people").getByText("Ada", { exact: true }).waitFor();
    assert.deepEqual(ada.complaints.filter((text) => !NETWORK_NOISE.test(text)), []);
  } finally {
    await Promise.allSettled(windows.map((page) => page.context().close()));
    backend?.child.kill("SIGKILL");
    network.close();
    await server.dispose();
  }
});

test("what the guide calls cheating is refused", { timeout: 60_000 }, async () => {
  const cheat = guide.match(/`(room\.set\(.*?;)`/)[1];
  const server = await Server.start({ ROOKERY__AUTH__GUEST: "off" });
  try {
    const grants = JSON.parse(files["server.mjs"].match(/grants = (\{.*\});/)[1].replace("lunch", '"lunch"'));
    const client = await server.user("Ada", { grants });
    const room = client.join("lunch");
    await room.ready();
    const refused = await new Promise((resolve) => new Function("room", "alert", cheat)(room, resolve));
    assert.match(refused, /set/);
    client.close();
  } finally {
    await server.dispose();
  }
});
