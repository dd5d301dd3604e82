/** Fleets for the tests and pictures of the monitor: the real one, and one whose agents do what they are told. */

import { spawn } from "node:child_process";
import { BINARY } from "./harness.mjs";

const END_MS = 20_000;

/** `rookery demo agents` in a process of its own. */
export class DemoFleet {
  #child;
  #ended;
  said = "";

  constructor(url, ...options) {
    const { host } = new URL(url);
    this.#child = spawn(BINARY, ["demo", "agents", "--url", `ws://${host}`, ...options], { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
    this.#ended = new Promise((resolve) => this.#child.once("exit", resolve));
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output.setEncoding("utf8").on("data", (text) => (this.said = (this.said + text).slice(-10_000)));
    }
  }

  /** Ends it as Ctrl-C does; gives its exit code. */
  async stop(signal = "SIGINT") {
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_MS);
    const code = await this.#ended;
    clearTimeout(timer);
    return code;
  }
}

/** An agent tells its state this often, changed or not: the page calls one silent that does not. */
const BEAT_MS = 2_000;

/** Agents that do what they are told: the key of each is its user. */
export async function makeAgent(server, user, state = {}, room = "agents:demo") {
  const client = await server.user(user);
  const rooms = { states: client.join(room), events: client.join(`${room}/events`) };
  await Promise.all([rooms.states.ready(), rooms.events.ready()]);
  const agent = {
    client,
    state: { name: user, role: "review", status: "idle", task: null, throughput: 0, tokens: 0, cost: 0, tasks: 0, errors: 0, ...state },
    write(changes = {}) {
      Object.assign(agent.state, changes, { at: Date.now() });
      return rooms.states.set(user, agent.state);
    },
    tell: (event, data) => rooms.events.publish(event, { agent: user, name: agent.state.name, ...data }),
    /** It is there, and says no more by itself. */
    fallSilent: () => clearInterval(beat),
    vanish: () => {
      agent.fallSilent();
      return rooms.states.set(user, null);
    },
  };
  const beat = setInterval(() => agent.write().catch(agent.fallSilent), BEAT_MS);
  client.on("state", ({ state }) => state === "disconnected" && agent.fallSilent());
  await agent.write();
  return agent;
}

/** Signs in to the monitor. */
export async function enterFleet(page, name = "Ines") {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Enter" }).click();
  await page.locator('#connection[data-state="connected"]').waitFor();
}
