/**
 * Keeps the files of the board page, so that it opens where there is no network:
 * on a train, changes made there are still there after a reload. The network is
 * always asked first; what is kept serves only where it does not answer.
 */

const CACHE = "rookery.board";
/** A network that hangs gets so long. */
const PATIENCE_MS = 4_000;
const FILES = [
  "board.html", "board.css", "chat.css", "favicon.svg", "rookery.js",
  "board.js", "board-card.js", "board-column.js", "board-conflict.js", "board-cursors.js", "board-drag.js", "board-keys.js",
  "board-merge.js", "board-model.js", "board-order.js", "board-pending.js", "board-people.js", "board-said.js",
  "board-screen.js", "board-store.js", "board-sync.js", "board-undo.js",
  "chat-identity.js", "chat-log.js", "connection-view.js", "entry.js",
];
const KEPT = new Map(FILES.map((file) => [new URL(file, self.location.href).pathname, file]));

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
});

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  const file = KEPT.get(pathname);
  if (method === "GET" && origin === self.location.origin && file) event.respondWith(answer(event.request, file));
});

async function answer(request, file) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(file);
  try {
    const response = await fetch(request, kept && { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.ok) await cache.put(file, response.clone());
    return kept && response.status >= 500 ? kept : response;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}
