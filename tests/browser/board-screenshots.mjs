/**
 * Pictures of the board page, wide and narrow, light and dark.
 *
 *     node board-screenshots.mjs FOLDER
 */

import { Server, openWindow } from "./harness.mjs";
import { pictureFile, takePictures } from "./pictures.mjs";
import { card, enterBoard, openCard, saved } from "./board-hands.mjs";

const PEOPLE = { "m.vogt": "Maren Vogt", tomasz: "Tomasz", "a.okonkwo": "Adaeze Okonkwo" };
const CARDS = [
  ["todo", "Drain: spread reconnects over eight seconds", "The server tells each client when to come back. See the notes on staging.", "amber", ["Looks right to me."]],
  ["todo", "Changelog for 0.9", "", "", []],
  ["todo", "Ask the printers about the paper nests", "A5, uncoated.", "plum", []],
  ["todo", "Which of the dashboards came back in the same second?", "", "", []],
  ["doing", "Pull a node in the middle of the night", "Nobody shall lose a line.\nTomasz watches, Maren pulls.", "red", ["I am in.", "Me too, after one."]],
  ["doing", "Read the release notes aloud", "", "blue", []],
  ["done", "Candidate on staging since six", "", "teal", ["Nothing has paged."]],
];

async function furnish(server) {
  const rooms = {};
  for (const [user, name] of Object.entries(PEOPLE)) {
    const client = await server.user(user, { name });
    rooms[user] = await client.join("board:release-0.9").ready();
  }
  const titles = [["todo", "To do", "F"], ["doing", "Doing", "V"], ["done", "Done", "k"]];
  for (const [id, title, place] of titles) await rooms.tomasz.set(`column/${id}`, { title, place });
  for (const [n, [column, title, text, label, said]] of CARDS.entries()) {
    const notes = said.map((words, at) => ({ id: `n${at}`, at: 1_795_308_700_000 + at * 90_000, user: "tomasz", name: "Tomasz", text: words }));
    await rooms.tomasz.set(`card/${n}`, { title, text, label, place: [column, String(n + 1)], notes, by: "Tomasz" });
  }
  return rooms;
}

async function photograph(browser, options, colorScheme) {
  const server = await Server.start();
  const page = await openWindow(browser, `${server.url}/board.html?board=release-0.9`, { ...options, colorScheme, locale: "en-GB", timezoneId: "Etc/UTC" });
  const shot = (what) => page.screenshot({ path: pictureFile(`board-${what}`, options, colorScheme) });
  try {
    const rooms = await furnish(server);
    await shot("entry");
    await enterBoard(page, "Ines");
    await card(page, "Changelog for 0.9").waitFor();
    await page.locator("#people-count").getByText("4 people").waitFor({ state: "attached" });
    rooms.tomasz.signal("cursor", { on: "card/1", x: 0.6, y: 0.5 });
    rooms["a.okonkwo"].signal("cursor", { on: "column/doing", x: 0.5, y: 0.85 });
    rooms["a.okonkwo"].signal("select", { card: "card/4", editing: true });
    rooms["m.vogt"].signal("select", { card: "card/2", editing: false });
    await page.locator(".tag").getByText("Maren Vogt").waitFor();
    await page.locator(".cursor").getByText("Tomasz").waitFor();
    await shot("main");
    await openCard(page, "Pull a node in the middle of the night");
    await shot("card");
    await page.keyboard.press("Escape");

    // Two versions of a card: the page's own is made while nothing arrives.
    await openCard(page, "Changelog for 0.9");
    await page.getByLabel("Description").fill("Only what users see.");
    const current = rooms.tomasz.shared.get("card/1");
    await rooms.tomasz.set("card/1", { ...current.value, text: "Everything since March, shortest first.", label: "blue", by: "Tomasz" });
    await page.getByText("Tomasz changed this meanwhile").waitFor();
    await page.getByRole("button", { name: "Done", exact: true }).click();
    await page.locator("#disputes-open").waitFor();
    await shot("dispute");
    await page.locator("#disputes-open").click();
    await shot("conflict");
    await page.getByRole("button", { name: "Keep what is chosen" }).click();
    await saved(page);

    await page.getByRole("button", { name: "Help" }).click();
    await shot("help");
    await page.keyboard.press("Escape");
    await page.locator("#people-open").click();
    await shot("people");
    await page.keyboard.press("Escape");
    await page.context().setOffline(true);
    await server.stop("SIGKILL");
    await page.locator("#banner").waitFor();
    await page.getByLabel("Add a card to To do").fill("Written in the tunnel");
    await page.getByLabel("Add a card to To do").press("Enter");
    await card(page, "Written in the tunnel").locator(".card-waiting").waitFor();
    await shot("offline");
  } finally {
    await page.context().close();
    await server.dispose();
  }
}

await takePictures(photograph);
