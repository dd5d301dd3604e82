/** The board page by keyboard, mouse and touch, narrow and dark, and as axe sees it. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { describe } from "node:test";
import { NARROW, boardTest } from "./board-case.mjs";
import { addCard, agree, card, cardTitles, done, openCard, saved, write } from "./board-hands.mjs";
import { eventually } from "./harness.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe("hands and eyes", { concurrency: 2 }, () => {
  boardTest("by keyboard alone: cards are added, moved and opened, and moves are announced", async ({ enter }) => {
    const ada = await enter("Ada");
    const focus = () => ada.evaluate(() => document.activeElement.querySelector?.(".card-title")?.textContent ?? document.activeElement.id);
    await ada.getByLabel("Add a card to To do").focus();
    for (const title of ["One", "Two", "Three"]) {
      await ada.keyboard.type(title);
      await ada.keyboard.press("Enter");
    }
    await card(ada, "Three").locator(".card-face").focus();
    await ada.keyboard.press("ArrowUp");
    assert.equal(await focus(), "Two");
    await ada.keyboard.press("Shift+ArrowUp");
    assert.equal(await focus(), "Two");
    assert.deepEqual(await cardTitles(ada, "To do"), ["Two", "One", "Three"]);
    await ada.locator("#said").getByText("“Two” is in To do, 1 of 3").waitFor({ state: "attached" });
    await ada.keyboard.press("Shift+ArrowUp"); // no further
    await ada.keyboard.press("Shift+ArrowRight");
    await ada.locator("#said").getByText("“Two” is in Doing, 1 of 1").waitFor({ state: "attached" });
    assert.equal(await focus(), "Two");
    await ada.keyboard.press("ArrowLeft");
    assert.equal(await focus(), "One");
    await ada.keyboard.press("ArrowDown");
    assert.equal(await focus(), "Three");
    await ada.keyboard.press("Delete");
    assert.equal(await focus(), "One");
    await ada.keyboard.press("Control+z");
    await card(ada, "Three").waitFor();
    await ada.keyboard.press("Control+Shift+z");
    await card(ada, "Three").waitFor({ state: "detached" });
    await ada.keyboard.press("n");
    await ada.keyboard.type("Four");
    await ada.keyboard.press("Enter");
    await card(ada, "Four").locator(".card-face").focus();
    await ada.keyboard.press("Enter");
    await ada.getByRole("dialog", { name: "Card" }).waitFor();
    await ada.locator("#card-column").selectOption({ label: "Done" });
    await ada.keyboard.press("Escape");
    assert.deepEqual(await cardTitles(ada, "Done"), ["Four"]);
    assert.equal(await focus(), "Four");
    await ada.getByRole("button", { name: "Help" }).press("Enter");
    await ada.getByText("moves the card", { exact: true }).waitFor();
  });

  boardTest("a drag can be let go of, and others' changes do not disturb it", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    for (const title of ["One", "Two"]) await addCard(ada, "To do", title);
    await card(ben, "Two").waitFor();
    const from = await card(ada, "One").boundingBox();
    const press = async () => {
      await ada.mouse.move(from.x + 40, from.y + 15);
      await ada.mouse.down();
    };
    const grip = async () => {
      await press();
      await ada.mouse.move(from.x + 340, from.y + 60, { steps: 5 });
      await ada.locator('[data-column="doing"] .gap').waitFor();
    };
    await grip();
    await card(ben, "One").locator(".tag").getByText("Ada").waitFor();
    await ada.keyboard.press("Escape");
    await ada.mouse.up();
    await ada.locator("#said").getByText("“One” stays where it was").waitFor({ state: "attached" });
    assert.deepEqual(await cardTitles(ada, "To do"), ["One", "Two"]);
    assert.equal(await ada.locator("dialog[open]").count(), 0);

    // Let go of and released over the very card: that is no click either.
    await press();
    await ada.mouse.move(from.x + 50, from.y + 20, { steps: 3 });
    await ada.locator('[data-column="todo"] .gap').waitFor();
    await ada.keyboard.press("Escape");
    await ada.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
    await ada.mouse.up();
    assert.equal(await ada.locator("dialog[open]").count(), 0);

    await grip();
    await addCard(ben, "Doing", "From Ben");
    await card(ada, "From Ben").waitFor();
    assert.equal(await ada.locator('[data-column="doing"] .gap').count(), 1);
    await ada.mouse.up();
    assert.deepEqual((await cardTitles(ada, "Doing")).sort(), ["From Ben", "One"]);
    await agree(ada, ben);
  });

  boardTest("columns are added, named, moved and deleted", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    await ada.getByLabel("Add a column").fill("Later");
    await ada.keyboard.press("Enter");
    await ben.getByRole("heading", { name: "Later" }).waitFor();
    await ben.getByRole("button", { name: "Change the column Later" }).click();
    await ben.getByLabel("Name", { exact: true }).fill("Sooner");
    await ben.getByRole("button", { name: "Move left" }).click();
    await ben.getByRole("dialog", { name: "Column" }).getByRole("button", { name: "Done", exact: true }).click();
    await ada.getByRole("heading", { name: "Sooner" }).waitFor();
    assert.deepEqual((await agree(ada, ben)).map(([title]) => title), ["To do", "Doing", "Sooner", "Done"]);
    await ada.getByRole("button", { name: "Change the column Sooner" }).click();
    await ada.getByRole("button", { name: "Delete column" }).click();
    await ben.getByRole("heading", { name: "Sooner" }).waitFor({ state: "detached" });
    await addCard(ada, "Done", "Eggs");
    await ada.getByRole("button", { name: "Change the column Done" }).click();
    assert.equal(await ada.getByRole("button", { name: "Delete column" }).isDisabled(), true);
  });

  boardTest("at 390 px by touch: nothing overflows, columns snap, a held card is dragged, a swipe scrolls", async ({ enter }) => {
    const page = await enter("A name that is longer than it has any right to be, really", { settings: NARROW });
    await addCard(page, "To do", "averylongwordwithoutanyspaces".repeat(5));
    await addCard(page, "To do", "Eggs");
    await saved(page);
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(await overflow(), 0);

    const touch = await page.context().newCDPSession(page);
    const finger = (type, x, y) => touch.send("Input.dispatchTouchEvent", { type, touchPoints: type === "touchEnd" ? [] : [{ x, y }] });
    const box = await card(page, "Eggs").boundingBox();
    await finger("touchStart", box.x + 60, box.y + 20);
    await page.locator(".card.ghost").waitFor();
    await finger("touchMove", box.x + 60, box.y - 60);
    const top = await page.locator(".cards").first().boundingBox();
    await finger("touchMove", box.x + 60, top.y + 12);
    await page.waitForFunction(() => document.querySelector(".gap")?.parentElement.firstElementChild === document.querySelector(".gap"));
    await finger("touchEnd");
    assert.equal((await cardTitles(page, "To do"))[0], "Eggs");
    assert.equal(await page.locator("dialog[open]").count(), 0);

    // A finger that moves at once scrolls the board to the next column; one that a busy machine
    // made hold still has the card in hand, lets go of it, and tries again.
    await eventually("a finger that is quick enough", async () => {
      const at = await card(page, "Eggs").boundingBox();
      await finger("touchStart", at.x + 250, at.y + 20);
      for (let x = 240; x >= 20; x -= 20) await finger("touchMove", at.x + x, at.y + 20);
      const held = (await page.locator(".card.ghost").count()) > 0;
      if (held) await page.keyboard.press("Escape");
      await finger("touchEnd");
      return !held;
    });
    await page.waitForFunction(() => {
      const boxes = [...document.querySelectorAll(".column")].map((each) => each.getBoundingClientRect());
      return boxes.slice(1).some(({ left, right }) => Math.abs((left + right) / 2 - innerWidth / 2) < 2);
    });
    await card(page, "Eggs").locator(".card-face").tap();
    await page.getByRole("dialog", { name: "Card" }).waitFor();
    assert.equal(await overflow(), 0);
    await page.locator("#card-column").selectOption({ label: "Done" });
    await done(page);
    assert.deepEqual(await cardTitles(page, "Done"), ["Eggs"]);
  });

  boardTest("markup stays text", async ({ enter }) => {
    const [ada, ben] = [await enter("<b>Ada</b>"), await enter("Ben")];
    const nasty = '<img src=x onerror="document.title=1">';
    await ada.getByLabel("Add a card to To do").fill(nasty);
    await ada.keyboard.press("Enter");
    await ben.locator(".card-title").waitFor();
    assert.deepEqual(await cardTitles(ben, "To do"), [nasty]);
    await ben.locator(".card-face").click();
    await ben.getByText("Last changed by <b>Ada</b>").waitFor();
    assert.equal(await ben.locator("img").count(), 0);
  });

  for (const colorScheme of ["light", "dark"]) {
    boardTest(`no fault that axe finds, ${colorScheme}`, async ({ enter }) => {
      const ada = await enter("Ada", { settings: { colorScheme } });
      const ben = await enter("Ben");
      await ada.evaluate(AXE);
      const faults = async () => {
        // What fades or moves has no colour of its own yet.
        await ada.evaluate(() => Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {}))));
        const { violations } = await ada.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
      };
      await addCard(ada, "To do", "Eggs");
      await addCard(ada, "Doing", "Milk");
      await openCard(ben, "Eggs");
      await write(ben, "Description", "Ben's");
      await card(ada, "Eggs").locator(".tag").waitFor();
      assert.deepEqual(await faults(), []);
      await openCard(ada, "Eggs");
      await write(ada, "Write a comment", "Hello");
      await ada.getByRole("button", { name: "Comment" }).click();
      await write(ada, "Description", "Ada's");
      await done(ben);
      await ada.getByText("Ben changed this meanwhile").waitFor();
      assert.deepEqual(await faults(), []);
      await done(ada);
      await ada.locator("#disputes-open").click();
      assert.deepEqual(await faults(), []);
      await ada.keyboard.press("Escape");
      for (const opener of ["Help", "main", "people are here"]) {
        await ada.getByRole("button", { name: opener }).click();
        assert.deepEqual(await faults(), []);
        await ada.keyboard.press("Escape");
      }
    });
  }
});
