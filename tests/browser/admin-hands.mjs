/** What the tests of the operator's page and its pictures share. */

export const KEY = "a-key-for-everything";

/** Keys as an operator may have them. */
export const SETTINGS = {
  ROOKERY__API__KEYS: KEY,
  ROOKERY__API__KEY: JSON.stringify([
    { name: "reader", key: "a-key-that-reads-rooms", scopes: ["rooms", "presence"] },
    { name: "tracer", key: "a-key-that-traces", scopes: ["trace", "presence"] },
  ]),
};

/** Shows the key, and waits until the page is in. */
export async function enterAdmin(page, key, { keep = false } = {}) {
  await page.getByLabel("API key").fill(key);
  if (keep) await page.getByLabel("Keep it in this tab").check();
  await page.getByRole("button", { name: "Enter" }).click();
  await page.locator("#app").waitFor();
}

export async function startTrace(page, { content = false } = {}) {
  if (content) await page.getByLabel("With what is published").check();
  await page.getByRole("button", { name: "Start the trace" }).click();
  await page.locator("#trace-state").getByText("Running").waitFor();
}

/** A call of a backend. */
export async function backend(server, method, path, body, key = KEY) {
  const response = await fetch(new URL(`/api/v1${path}`, server.url), {
    method,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  return response.json();
}
