/** Calls of the backend API with one key, and the polling of them. */

/** A server that takes longer is as good as away. */
const PATIENCE_MS = 8_000;
const STORED = "rookery.admin.key";

/** Why a call was not answered with what was asked for. */
export class ApiError extends Error {
  /** @param {"unauthorized" | "forbidden" | "off" | "away" | "refused"} kind */
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export class Api {
  #key;

  constructor(key) {
    this.#key = key;
    /** What the key may do; known after `begin`. */
    this.scopes = new Set();
    this.name = null;
    this.rooms = null;
  }

  /** For the first message of a trace: it goes over the socket, never into an address. */
  get key() {
    return this.#key;
  }

  /** Asks what the key may do, and so whether it is one. */
  async begin(signal) {
    const { name, scopes, rooms } = await this.get("/key", signal);
    [this.name, this.scopes, this.rooms] = [name, new Set(scopes), rooms];
  }

  may(scope) {
    return this.scopes.has(scope);
  }

  get(path, signal) {
    return this.#call("GET", path, undefined, signal);
  }

  post(path, body) {
    return this.#call("POST", path, body);
  }

  async #call(method, path, body, signal) {
    const signals = [AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])];
    let response;
    let answer;
    try {
      response = await fetch(`/api/v1${path}`, {
        method,
        headers: { Authorization: `Bearer ${this.#key}`, ...(body && { "Content-Type": "application/json" }) },
        body: body && JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.any(signals),
      });
      answer = await response.json().catch(() => null);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError("away", "The server does not answer.");
    }
    if (response.ok && answer !== null) return answer;
    const told = answer?.error;
    const message = told?.message ?? `The server, or a proxy before it, answered with ${response.status}.`;
    if (response.status === 401) throw new ApiError("unauthorized", "The server does not know this key.");
    if (response.status === 404 && path === "/key") throw new ApiError("off", `There is no backend API here: ${message}.`);
    if (response.status === 403) throw new ApiError("forbidden", message);
    if (response.status >= 500) throw new ApiError("away", told ? `The server says: ${message}.` : message);
    throw new ApiError("refused", message);
  }
}

/** The key that this tab keeps, if it was to. */
export const storedKey = () => sessionStorage.getItem(STORED);

export function keepKey(key) {
  if (key === null) sessionStorage.removeItem(STORED);
  else sessionStorage.setItem(STORED, key);
}

/**
 * Does something again and again while the tab is seen. The next time is counted
 * from the end of the last one, so that calls to a slow server never pile up.
 */
export class Poll {
  #act;
  #every;
  #timer = null;
  #stop = new AbortController();
  #running = false;
  #again = false;

  /**
   * @param {number} every milliseconds between two times
   * @param {(signal: AbortSignal) => Promise<void>} act must not throw but for an abort
   */
  constructor(every, act) {
    this.#every = every;
    this.#act = act;
    document.addEventListener("visibilitychange", this.#onVisible);
    this.now();
  }

  #onVisible = () => (document.hidden ? this.#rest() : this.now());

  #rest() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Does it at once, or as soon as it is done. */
  async now() {
    this.#rest();
    if (this.#running) {
      this.#again = true;
      return;
    }
    if (document.hidden || this.#stop.signal.aborted) return;
    this.#running = true;
    try {
      await this.#act(this.#stop.signal);
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    } finally {
      this.#running = false;
    }
    if (this.#stop.signal.aborted || document.hidden) return;
    const wait = this.#again ? 0 : this.#every;
    this.#again = false;
    this.#timer = setTimeout(() => this.now(), wait);
  }

  end() {
    this.#stop.abort();
    this.#rest();
    document.removeEventListener("visibilitychange", this.#onVisible);
  }
}
