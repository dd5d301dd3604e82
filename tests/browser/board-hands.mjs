/** What a person does and sees on the board page; shared by its tests and its pictures. */

import assert from "node:assert/strict";

/** Signs in as a guest, and waits for the board. */
export async function enterBoard(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Enter" }).click();
  await page.locator('#connection[data-state="connected"]').waitFor();
  await page.getByRole("heading", { name: "Done" }).waitFor();
  await page.locator("#members").getByText("(you)").waitFor({ state: "attached" });
}

/** A card by its title. */
export function card(page, title) {
  return page.locator(".card").filter({ has: page.locator(".card-title", { hasText: new RegExp(`^${title}$`) }) });
}

/** The titles of a column's cards, in order. */
export function cardTitles(page, column) {
  return page.getByRole("region", { name: column }).locator(".card-title").allTextContents();
}

export async function addCard(page, column, title) {
  await page.getByLabel(`Add a card to ${column}`).fill(title);
  await page.getByLabel(`Add a card to ${column}`).press("Enter");
  await card(page, title).waitFor();
}

export async function openCard(page, title) {
  await card(page, title).locator(".card-face").click();
  await page.getByRole("dialog", { name: "Card" }).waitFor();
}

/** Drags a card with the mouse to the end of a column. */
export async function dragCard(page, title, column) {
  const from = await card(page, title).boundingBox();
  await page.mouse.move(from.x + 40, from.y + 15);
  await page.mouse.down();
  await page.mouse.move(from.x + 60, from.y + 30, { steps: 3 });
  const to = await page.getByRole("region", { name: column }).locator(".cards").boundingBox();
  await page.mouse.move(to.x + 80, to.y + to.height + 40, { steps: 6 });
  await page.mouse.up();
}

/** Waits until nothing done on this page is on its way any more. */
export async function saved(page) {
  await page.waitForFunction(() => document.querySelectorAll('#columns [data-state]:not([data-state="saved"])').length === 0);
}

/** Changes a field of the card that is open. */
export async function write(page, label, text) {
  await page.getByRole("dialog", { name: "Card" }).getByLabel(label).fill(text);
}

/** Closes the card that is open. */
export const done = (page) => page.getByRole("button", { name: "Done", exact: true }).click();
/** Waits for a state of the connection. */
export const inState = (page, state) => page.locator(`#connection[data-state="${state}"]`).waitFor();

/** What a page shows of every card: column, title, description, comments. */
export function shown(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll(".column")].map((column) => [
      column.querySelector(".column-title").textContent,
      [...column.querySelectorAll(".card")].map((each) =>
        [".card-title", ".card-text", ".card-notes:not([hidden]) span"].map((part) => each.querySelector(part)?.textContent ?? ""),
      ),
    ]),
  );
}

/** Waits until two pages show the same, and gives it. */
export async function agree(one, other) {
  await saved(one);
  await saved(other);
  for (let tries = 0; ; tries += 1) {
    const [here, there] = [await shown(one), await shown(other)];
    if (JSON.stringify(here) === JSON.stringify(there)) return here;
    if (tries > 200) assert.deepEqual(here, there);
    await one.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
}
