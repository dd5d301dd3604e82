/**
 * Pictures of the fleet monitor with a fleet in it, wide and narrow, light and dark.
 *
 *     node agents-screenshots.mjs FOLDER
 */

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Server, launchBrowser, openWindow } from "./harness.mjs";
import { DemoFleet, enterFleet } from "./agents-fleet.mjs";

const folder = process.argv[2];
if (!folder) {
  console.error("usage: node agents-screenshots.mjs FOLDER");
  process.exit(2);
}

const WIDE = { viewport: { width: 1280, height: 800 } };
const NARROW = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
/** So long the charts need to have something in them. */
const HISTORY_MS = 100_000;
const REST_MS = 1_500;

const rest = (page) => page.waitForTimeout(REST_MS);

async function photograph(page, name) {
  const shot = (what) => page.screenshot({ path: path.join(folder, `${what}-${name}.png`) });
  await shot("fleet");
  const row = page.locator("#rows .row").nth(2);
  await row.click();
  await rest(page);
  await shot("agent");
  await page.keyboard.press("Escape");
  if (page.viewportSize().width < 900) {
    await rest(page);
    await page.getByRole("button", { name: "Events" }).click();
    await rest(page);
    await shot("events");
    await page.keyboard.press("Escape");
  }
  await page.locator("#fleet").evaluate((fleet) => (fleet.scrollTop = 700));
  await page.getByLabel("Status", { exact: true }).selectOption("stale");
  await rest(page);
  await shot("stale");
}

await mkdir(folder, { recursive: true });
const browser = await launchBrowser();
const server = await Server.start();
try {
  const pages = new Map();
  for (const options of [WIDE, NARROW]) {
    for (const colorScheme of ["light", "dark"]) {
      const name = `${options.viewport.width}-${colorScheme}`;
      const page = await openWindow(browser, `${server.url}/agents.html`, { ...options, colorScheme, locale: "en-GB" });
      await enterFleet(page);
      await page.getByRole("heading", { name: "No agents here yet" }).waitFor();
      await page.screenshot({ path: path.join(folder, `empty-${name}.png`) });
      pages.set(name, page);
    }
  }
  const fleet = new DemoFleet(server.url, "--agents", "500", "--rate", process.env.RATE ?? "10");
  await new Promise((resolve) => setTimeout(resolve, HISTORY_MS));
  for (const [name, page] of pages) await photograph(page, name);
  await fleet.stop();
} finally {
  await browser.close();
  await server.dispose();
}
