/**
 * What a page shows of its connection: a word in the head, and a banner while
 * there is none. The page has the elements `connection…` and `banner…`.
 */

const $ = (id) => document.getElementById(id);

/** What the banner says where the server meant to end it. */
const CLOSED = {
  kicked: "You were disconnected by the server.",
  replaced: "This conversation went on in another window.",
};

export class ConnectionView {
  #kept;
  #link = null;

  /** @param {string} kept what is said of things done meanwhile */
  constructor(kept) {
    this.#kept = kept;
    setInterval(() => this.#drawCountdown(), 1_000);
  }

  /** What to show: anything with `state`, `retryAt` and `hadConnection`, or null. */
  attach(link) {
    this.#link = link;
  }

  draw({ state, reason }) {
    const connecting = this.#link.hadConnection ? "Reconnecting" : "Connecting";
    const text = { connected: "Connected", connecting, disconnected: "Disconnected" }[state];
    if ($("connection-text").textContent !== text) $("connection-text").textContent = text;
    $("connection").dataset.state = state;
    // The first connection is no loss; and while it waits or tries again, the banner stays.
    const isLost = state === "connecting" && (this.#link.retryAt !== null || !$("banner").hidden);
    $("banner").hidden = !isLost && state !== "disconnected";
    $("banner").classList.toggle("bad", state === "disconnected");
    if (state === "disconnected") {
      $("banner-title").textContent = CLOSED[reason] ?? "The connection ended.";
      $("banner-detail").textContent = "";
      $("banner-action").textContent = "Connect again";
    } else {
      $("banner-title").textContent = navigator.onLine ? "No connection to the server." : "You are offline.";
      $("banner-detail").textContent = this.#kept;
      $("banner-action").textContent = "Try now";
    }
    this.#drawCountdown();
  }

  #drawCountdown() {
    if (!this.#link || $("banner").hidden) return;
    const { state, retryAt } = this.#link;
    const seconds = retryAt === null ? 0 : Math.ceil((retryAt - Date.now()) / 1000);
    $("banner-countdown").textContent =
      state === "disconnected" ? "" : seconds > 0 ? `Trying again in ${seconds} s.` : "Trying…";
  }
}
