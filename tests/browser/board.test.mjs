/** The board page in browsers, against the server itself: several people, conflicts, undo, limits. */

import assert from "node:assert/strict";
import { describe } from "node:test";
import { NARROW, boardTest } from "./board-case.mjs";
import { addCard, agree, card, cardTitles, done, dragCard, openCard, saved, write } from "./board-hands.mjs";

describe("two people", { concurrency: 2 }, () => {
  boardTest("see each other add, move, edit, comment and delete", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    await addCard(ada, "To do", "Count the eggs");
    await card(ben, "Count the eggs").waitFor();
    await addCard(ben, "To do", "Feed the rooks");
    await card(ada, "Feed the rooks").waitFor();

    await dragCard(ada, "Count the eggs", "Doing");
    await ben.waitForFunction(() => document.querySelectorAll('[data-column="doing"] .card').length === 1);
    assert.deepEqual(await cardTitles(ben, "Doing"), ["Count the eggs"]);

    await openCard(ben, "Count the eggs");
    await ben.getByLabel("Title").fill("Count all the eggs");
    await ben.getByLabel("Description").fill("Twice.");
    await ben.getByLabel("Red", { exact: true }).check({ force: true });
    await ben.getByLabel("Write a comment").fill("There are six.");
    await ben.getByRole("button", { name: "Comment" }).click();
    await ben.getByRole("button", { name: "Done", exact: true }).click();
    await card(ada, "Count all the eggs").getByText("Twice.").waitFor();
    assert.equal(await card(ada, "Count all the eggs").getAttribute("data-label"), "red");
    await openCard(ada, "Count all the eggs");
    await ada.locator("#card-notes").getByText("There are six.").waitFor();
    await ada.locator("#card-notes").getByText("Ben").waitFor();
    assert.equal(await ada.locator("#card-notes button").count(), 0);
    await ada.getByText("Last changed by Ben").waitFor();

    await ada.getByRole("button", { name: "Delete card" }).click();
    await card(ben, "Count all the eggs").waitFor({ state: "detached" });
    await saved(ada);
    await ada.reload();
    await card(ada, "Feed the rooks").waitFor();
    assert.deepEqual(await cardTitles(ada, "Doing"), []);
  });

  boardTest("comments survive a reload, and are deleted by who wrote them", async ({ enter }) => {
    const ada = await enter("Ada");
    await addCard(ada, "To do", "Eggs");
    await openCard(ada, "Eggs");
    for (const text of ["one", "two"]) {
      await ada.getByLabel("Write a comment").fill(text);
      await ada.getByLabel("Write a comment").press("Control+Enter");
    }
    await saved(ada);
    await ada.reload();
    await openCard(ada, "Eggs");
    assert.deepEqual(await ada.locator(".note-body").allTextContents(), ["one", "two"]);
    await ada.locator("#card-notes li").first().getByRole("button", { name: "Delete this comment" }).click();
    assert.deepEqual(await ada.locator(".note-body").allTextContents(), ["two"]);
  });

  boardTest("see each other's cursor and selection with names, until one leaves", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben", { settings: NARROW })];
    await ada.locator("#people-count").getByText("2 people are here").waitFor({ state: "attached" });
    await addCard(ada, "To do", "Eggs");
    await card(ben, "Eggs").waitFor();
    await card(ada, "Eggs").hover();
    const cursor = ben.locator(".cursor");
    await cursor.getByText("Ada").waitFor();
    // In another window, and yet on the same card.
    await ben.waitForFunction(() => {
      const at = new DOMMatrix(getComputedStyle(document.querySelector(".cursor")).transform);
      const box = document.querySelector(".card").getBoundingClientRect();
      return Math.abs(at.e - (box.left + box.width / 2)) < 4 && Math.abs(at.f - (box.top + box.height / 2)) < 4;
    });
    await openCard(ada, "Eggs");
    await card(ben, "Eggs").locator(".tag.editing").getByText("Ada").waitFor();
    const cyd = await enter("Cyd"); // who comes later is told as well
    await card(cyd, "Eggs").locator(".tag.editing").getByText("Ada").waitFor();
    await openCard(ben, "Eggs");
    await ada.getByText("Ben has it open too").waitFor();
    await ben.keyboard.press("Escape");

    await ada.mouse.move(5, 5);
    await ada.keyboard.press("Escape");
    await card(ben, "Eggs").locator(".tag.editing").waitFor({ state: "detached" });
    await card(ada, "Eggs").hover();
    await cursor.getByText("Ada").waitFor();
    await ada.context().close();
    await cursor.waitFor({ state: "detached" });
    await card(ben, "Eggs").locator(".tag").waitFor({ state: "detached" });
    await ben.locator("#people-count").getByText("2 people are here").waitFor({ state: "attached" });
  });

  boardTest("a pressed card opens, though it moves from under the pointer meanwhile", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    for (const title of ["Eggs", "Milk"]) await addCard(ada, "To do", title);
    await card(ben, "Milk").waitFor();
    await card(ada, "Milk").hover();
    await ada.mouse.down();
    await dragCard(ben, "Eggs", "Done");
    await ada.waitForFunction(() => document.querySelectorAll('[data-column="todo"] .card').length === 1);
    await ada.mouse.up();
    await ada.getByRole("dialog", { name: "Card" }).waitFor();
    assert.equal(await ada.getByLabel("Title").inputValue(), "Milk");
  });

  boardTest("a card opened in the very moment another one is closed: both keep what is written", async ({ enter }) => {
    const ada = await enter("Ada");
    for (const title of ["Eggs", "Milk"]) await addCard(ada, "To do", title);
    await openCard(ada, "Eggs");
    await write(ada, "Description", "Brown ones");
    await ada.evaluate(() => {
      // Nothing comes between the two, not even the event that tells of the close.
      document.querySelector("#card .primary").click();
      document.querySelectorAll(".card-face")[1].click();
    });
    await write(ada, "Description", "Oat milk");
    await done(ada);
    await saved(ada);
    const ben = await enter("Ben");
    await card(ben, "Eggs").getByText("Brown ones").waitFor();
    await card(ben, "Milk").getByText("Oat milk").waitFor();
  });

  boardTest("have several boards", async ({ enter }) => {
    const ada = await enter("Ada");
    const ben = await enter("Ben", { path: "/board.html?board=nest" });
    await addCard(ben, "To do", "Twigs");
    await saved(ben);
    await ada.getByRole("button", { name: "main" }).click();
    await ada.getByLabel("Open or create a board").fill("no such name");
    await ada.keyboard.press("Enter");
    await ada.getByRole("alert").getByText("letters, digits").waitFor();
    await ada.getByLabel("Open or create a board").fill("nest");
    await ada.keyboard.press("Enter");
    await card(ada, "Twigs").waitFor();
    await ada.getByRole("button", { name: "nest" }).click();
    await ada.locator("#visited").getByRole("link", { name: "main" }).click();
    await ada.getByRole("heading", { name: "main" }).waitFor();
    await ada.getByRole("heading", { name: "To do" }).waitFor();
    assert.equal(await card(ada, "Twigs").count(), 0);
  });
});

describe("at the same time", { concurrency: 2 }, () => {
  boardTest("the same field: both versions are shown, and one is chosen", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    await addCard(ada, "To do", "Eggs");
    await openCard(ben, "Eggs");
    await write(ben, "Description", "Ben says five.");
    await openCard(ada, "Eggs");
    await write(ada, "Description", "Ada says six.");
    await done(ada);
    await ben.getByText("Ada changed this meanwhile: “Ada says six.”").waitFor();
    await done(ben);

    await card(ben, "Eggs").getByText("Ada changed this too.").waitFor();
    await ben.locator("#disputes").getByText("“Eggs” was changed by Ada too.").waitFor();
    await card(ada, "Eggs").getByText("Ada says six.").waitFor(); // nothing is overwritten meanwhile
    await card(ben, "Eggs").getByRole("button", { name: "Compare" }).click();
    const dialog = ben.getByRole("dialog", { name: "Two versions" });
    await dialog.getByText("Ben says five.").waitFor();
    await dialog.getByText("Ada says six.").waitFor();
    await ben.keyboard.press("Escape"); // later
    await ben.locator("#disputes-open").click();
    await dialog.getByLabel("Yours").check();
    await dialog.getByRole("button", { name: "Keep what is chosen" }).click();
    await card(ada, "Eggs").getByText("Ben says five.").waitFor();
    assert.equal(await ben.locator("#disputes").isVisible(), false);

    // And the other way round, where what is theirs stays, or both.
    for (const [choice, result] of [["Ben", "Ben again."], ["Both", "Ben again.\n\nAda again."]]) {
      await openCard(ada, "Eggs");
      await write(ada, "Description", "Ada again.");
      await openCard(ben, "Eggs");
      await write(ben, "Description", "");
      await write(ben, "Description", "Ben again.");
      await done(ben);
      await ada.getByText("Ben changed this meanwhile").waitFor();
      await done(ada);
      await card(ada, "Eggs").getByRole("button", { name: "Compare" }).click();
      await ada.getByRole("dialog", { name: "Two versions" }).getByLabel(choice).check();
      await ada.getByRole("button", { name: "Keep what is chosen" }).click();
      await saved(ada);
      assert.equal(await card(ada, "Eggs").locator(".card-text").textContent(), result);
      await agree(ada, ben);
      await openCard(ben, "Eggs");
      await write(ben, "Description", "Even.");
      await done(ben);
      await card(ada, "Eggs").getByText("Even.").waitFor();
    }
  });

  boardTest("a card deleted while another writes: nothing is lost without a question", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    await addCard(ada, "To do", "Eggs");
    await openCard(ben, "Eggs");
    await write(ben, "Description", "Important.");
    await card(ada, "Eggs").locator(".card-face").focus();
    await ada.keyboard.press("Delete");
    await ben.getByText("This card was deleted.").waitFor();
    await done(ben);
    await card(ben, "Eggs").getByRole("button", { name: "Compare" }).click();
    await ben.getByText("meanwhile it was deleted").waitFor();
    await ben.getByLabel("Keep it, with your changes").check();
    await ben.getByRole("button", { name: "Keep what is chosen" }).click();
    await card(ada, "Eggs").getByText("Important.").waitFor();
  });

  boardTest("undo takes back what is one's own and spares what others did", async ({ enter }) => {
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    await addCard(ada, "To do", "Eggs");
    await addCard(ada, "To do", "Milk");
    await dragCard(ada, "Eggs", "Done");
    await saved(ada);
    await openCard(ben, "Eggs");
    await write(ben, "Description", "From Ben.");
    await done(ben);
    await card(ada, "Eggs").getByText("From Ben.").waitFor();

    await ada.keyboard.press("Control+z");
    await ada.getByText("Undone: the move of “Eggs”.").waitFor();
    assert.deepEqual((await agree(ada, ben))[0][1], [["Eggs", "From Ben.", ""], ["Milk", "", ""]]);
    await ada.getByRole("button", { name: "Undo" }).click();
    await card(ben, "Milk").waitFor({ state: "detached" });
    await ada.getByRole("button", { name: "Undo" }).click();
    await ada.getByText("Others changed it since, so it stays").waitFor();
    assert.equal(await card(ada, "Eggs").count(), 1);
    await ada.getByRole("button", { name: "Redo" }).click();
    await card(ben, "Milk").waitFor();
    assert.equal(await ada.getByRole("button", { name: "Undo" }).isEnabled(), true);
  });
});

describe("limits", { concurrency: 2 }, () => {
  boardTest("a text that is too long is said to be, can be shortened, and nothing else is lost", { env: { ROOKERY__LIMITS__MESSAGE_BYTES: "2048" } }, async ({ enter }) => {
    const ada = await enter("Ada");
    await addCard(ada, "To do", "Eggs");
    await openCard(ada, "Eggs");
    await write(ada, "Description", "x".repeat(3_000));
    await ada.getByLabel("Title").focus();
    await ada.locator("#card-alert").getByText(/Not saved: That is too long: .*2048/).waitFor();
    await done(ada);
    await card(ada, "Eggs").getByText(/Not saved/).waitFor();
    await card(ada, "Eggs").getByRole("button", { name: "Try again" }).click();
    await card(ada, "Eggs").getByText(/Not saved/).waitFor();
    await openCard(ada, "Eggs");
    await write(ada, "Description", "shorter");
    await done(ada);
    await saved(ada);
    await ada.reload();
    await card(ada, "Eggs").getByText("shorter").waitFor();
  });

  boardTest("a full board says so; a change can be given up", { env: { ROOKERY__ROOMS__STATE_KEYS: "4" } }, async ({ enter }) => {
    const ada = await enter("Ada");
    await addCard(ada, "To do", "Eggs");
    await addCard(ada, "To do", "Milk");
    await card(ada, "Milk").getByText("Not saved: The board is full: it holds at most 4 keys").waitFor();
    await card(ada, "Eggs").locator(".card-face").focus();
    await ada.keyboard.press("Delete");
    await card(ada, "Eggs").waitFor({ state: "detached" });
    await card(ada, "Milk").getByRole("button", { name: "Try again" }).click();
    await saved(ada);
    await addCard(ada, "Done", "Twigs");
    await card(ada, "Twigs").getByRole("button", { name: "Discard" }).click();
    await card(ada, "Twigs").waitFor({ state: "detached" });
  });

  boardTest("who may not write is told, and loses nothing of sight", { env: { ROOKERY__AUTH__DEFAULT_GRANTS: '{"*": ["join", "presence", "history"]}' } }, async ({ enter, server }) => {
    const owner = await server.user("owner", { grants: { "*": ["join", "set"] } });
    const room = await owner.join("board:main").ready();
    for (const [id, title, place] of [["todo", "To do", "F"], ["done", "Done", "k"]]) await room.set(`column/${id}`, { title, place });
    const ada = await enter("Ada");
    await addCard(ada, "To do", "Eggs");
    await card(ada, "Eggs").getByText("You may look at this board, but not change it.").waitFor();
    owner.close();
  });
});
