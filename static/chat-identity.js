/**
 * Who this tab is, and what it remembers over a reload.
 *
 * All of it lives in sessionStorage, so that two tabs can be two people and a
 * reload stays the same one.
 */

import { RookeryError } from "./rookery.js";

const PREFIX = "rookery.";

/** A JSON value under a key of this tab's storage, or the fallback. */
export function recall(key, fallback) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + key)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keeps a value over a reload; where storage is refused or full, the page works on without. */
export function remember(key, value) {
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Private windows may refuse storage: a reload then begins anew.
  }
}

/** Forgets everything of this tab. */
export function forgetAll() {
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
  } catch {
    // Nothing was kept, then.
  }
}

/** The token this tab speaks with: a guest's, or one pasted in. */
export class Identity {
  #token;
  #expiresAt;

  /** The identity kept from before a reload, or null. */
  static recalled() {
    const kept = recall("identity", null);
    return kept?.token ? new Identity(kept) : null;
  }

  /** A new guest of that name. Rejects with a `RookeryError` that says what to do. */
  static async guest(name) {
    const identity = new Identity({ name, guest: true });
    await identity.#fetchGuest();
    return identity;
  }

  /** Somebody whose token came from elsewhere. */
  static withToken(token) {
    const identity = new Identity({ token, guest: false });
    identity.#keep();
    return identity;
  }

  constructor({ name, user, token, expiresAt, guest }) {
    this.name = name ?? null;
    this.user = user ?? null;
    this.isGuest = guest;
    this.#token = token;
    this.#expiresAt = expiresAt ?? null;
  }

  /** The client's `token` callback. */
  async token({ reason }) {
    if (reason === "connect" && this.#isCurrent()) return this.#token;
    // A refused handshake mostly means that the server is down; only a token that it rejects is given up.
    if (reason === "refused" && this.#isCurrent() && !(await this.#isRejected())) return this.#token;
    if (reason === "revoked") throw new RookeryError("unauthorized", "The server has ended this sign-in.");
    if (!this.isGuest) throw new RookeryError("unauthorized", "The token is no longer accepted. Sign in again with a new one.");
    const renewed = await this.#fetchGuest(reason === "refresh");
    return renewed ? this.#token : null;
  }

  #isCurrent() {
    return this.#token !== undefined && (this.#expiresAt === null || this.#expiresAt > Date.now());
  }

  /** Does the server answer, and answer that it does not take this token? */
  async #isRejected() {
    const response = await fetch("/ws", { headers: { Authorization: `Bearer ${this.#token}` }, cache: "no-store" });
    return response.status === 401;
  }

  /** Gets a guest's token; false where `renew` was asked and the server made another user instead. */
  async #fetchGuest(renew = false) {
    const headers = { "Content-Type": "application/json" };
    // A token that still holds goes along, so that the server may renew it for the same user.
    if (renew) headers.Authorization = `Bearer ${this.#token}`;
    let response;
    try {
      response = await fetch("/auth/guest", { method: "POST", headers, body: JSON.stringify({ name: this.name }) });
    } catch (cause) {
      throw new RookeryError("unreachable", "The server does not answer. Check the connection, then try again.", { cause });
    }
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw refusal(response, body.error);
    if (renew && body.user !== this.user) return false;
    this.user = body.user;
    this.#token = body.token;
    this.#expiresAt = body.expires_at;
    this.#keep();
    return true;
  }

  #keep() {
    remember("identity", {
      name: this.name,
      user: this.user,
      token: this.#token,
      expiresAt: this.#expiresAt,
      guest: this.isGuest,
    });
  }
}

function refusal(response, error) {
  if (response.status === 429) {
    return new RookeryError("rate_limited", "Too many people are signing in from here. Wait a moment, then try again.");
  }
  if (response.status === 404 || response.status === 403 || response.status === 405) {
    return new RookeryError(
      "unauthorized",
      "Guests are not let in here. Sign in with a token, or have the server started with auth.guest = \"on\".",
    );
  }
  if (response.status >= 500) {
    return new RookeryError("unavailable", "The server cannot let anybody in just now. Try again in a moment.");
  }
  return new RookeryError(error?.code ?? "bad_message", error?.message ?? `The server answered ${response.status}.`);
}
