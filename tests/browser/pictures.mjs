/** What the scripts that take pictures share: sizes, colour schemes, and the folder of the command line. */

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { launchBrowser } from "./harness.mjs";

export const WIDE = { viewport: { width: 1280, height: 800 } };
export const NARROW = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

/** Calls `photograph(browser, options, colorScheme)` for every size and scheme. */
export async function takePictures(photograph) {
  const browser = await launchBrowser();
  await mkdir(folder(), { recursive: true });
  try {
    for (const options of [WIDE, NARROW]) {
      for (const colorScheme of ["light", "dark"]) await photograph(browser, options, colorScheme);
    }
  } finally {
    await browser.close();
  }
}

/** Where a picture of the page goes. */
export function pictureFile(what, { viewport }, colorScheme) {
  return path.join(folder(), `${what}-${viewport.width}-${colorScheme}.png`);
}

function folder() {
  const [, script, given] = process.argv;
  if (given) return given;
  console.error(`usage: node ${path.basename(script)} FOLDER`);
  process.exit(2);
}
