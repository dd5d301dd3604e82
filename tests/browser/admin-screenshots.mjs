/**
 * Pictures of the operator's page, wide and narrow, light and dark.
 *
 *     node admin-screenshots.mjs FOLDER
 */

import { Server, openWindow } from "./harness.mjs";
import { pictureFile, takePictures } from "./pictures.mjs";
import { KEY, SETTINGS, enterAdmin, startTrace } from "./admin-hands.mjs";

const PEOPLE = { "m.vogt": "Maren Vogt", tomasz: "Tomasz", "a.okonkwo": "Adaeze Okonkwo", ines: "Ines" };
const ROOMS = ["lobby", "dash:eu", "dash:us", "board:release-0.9", "agents:demo", "support/4711"];
const LINES = [
  ["tomasz", "Candidate is on staging since six."],
  ["m.vogt", "Which of the dashboards came back in the same second?"],
  ["a.okonkwo", "Both in Frankfurt.\nThe others took four."],
  ["ines", "I am reading the release notes aloud now."],
];
/** The charts need something in them. */
const HISTORY_MS = 9_000;

/** People who talk while pictures are taken. */
async function furnish(server) {
  const [clients, rooms] = [{}, {}];
  for (const [n, [user, name]] of Object.entries(PEOPLE).entries()) {
    clients[user] = await server.user(user, { name });
    rooms[user] = {};
    for (const room of ROOMS.slice(0, ROOMS.length - n)) rooms[user][room] = await clients[user].join(room).ready();
  }
  for (const [user, text] of LINES) await rooms[user].lobby.chat(text);
  await rooms.tomasz.lobby.set("topic", "Release 0.9");
  await rooms.tomasz.lobby.set("oncall", { user: "m.vogt", until: "2026-11-23T08:00:00Z" });
  const timer = setInterval(() => {
    for (const user of ["tomasz", "ines"]) rooms[user]["dash:eu"]?.set("orders", Date.now() % 1_000).catch(() => {});
  }, 150);
  return { clients, rooms, end: () => (clearInterval(timer), Object.values(clients).forEach((client) => client.close())) };
}

async function photograph(browser, options, colorScheme) {
  const server = await Server.start(SETTINGS);
  const page = await openWindow(browser, `${server.url}/admin`, { ...options, colorScheme, locale: "en-GB", timezoneId: "Etc/UTC" });
  const shot = (what) => page.screenshot({ path: pictureFile(`admin-${what}`, options, colorScheme) });
  const people = await furnish(server);
  try {
    await shot("entry");
    await enterAdmin(page, KEY);
    await page.locator("#nodes tr").waitFor();
    await page.waitForTimeout(HISTORY_MS);
    await shot("overview");
    await page.getByRole("link", { name: "Rooms", exact: true }).click();
    await page.getByRole("link", { name: "lobby" }).waitFor();
    await shot("rooms");
    await page.getByRole("link", { name: "lobby" }).click();
    await page.locator("#members").getByText("Maren Vogt").waitFor();
    await page.locator("#tail-list").getByText("aloud").waitFor();
    await page.locator("#state").getByText("oncall").waitFor();
    await shot("room");
    await startTrace(page, { content: true });
    await people.rooms.ines.lobby.chat("Everybody ready?");
    await people.rooms.tomasz.lobby.set("topic", "Release 1.0", { ifVersion: 0 }).catch(() => {});
    await people.rooms["m.vogt"].lobby.leave();
    await page.locator("#trace-list").getByText("Everybody ready?").waitFor();
    await page.locator("#trace").scrollIntoViewIfNeeded();
    await page.locator("#trace-frame").evaluate((frame) => frame.scrollIntoView({ block: "end" }));
    await shot("trace");
    await page.goto(`${server.url}/admin#user=tomasz`);
    await page.locator("#sessions tr").waitFor();
    await shot("user");
    await page.getByRole("button", { name: "Disconnect and revoke" }).click();
    await shot("confirm");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Sign out" }).click();
    await enterAdmin(page, "a-key-that-reads-rooms");
    await page.goto(`${server.url}/admin#room=lobby`);
    await page.getByText("scope history").first().waitFor();
    await shot("little");
    await server.stop("SIGKILL");
    await page.locator("#banner").waitFor();
    await shot("away");
  } finally {
    people.end();
    await page.context().close();
    await server.dispose();
  }
}

await takePictures(photograph);
