/**
 * Pictures of the page with a conversation in it, wide and narrow, light and dark.
 *
 *     node screenshots.mjs FOLDER
 */

import { Server, openWindow, say, signIn } from "./harness.mjs";
import { NARROW, pictureFile, takePictures } from "./pictures.mjs";

/** user → name: the colours follow the users, so these are told apart. */
const PEOPLE = { "m.vogt": "Maren Vogt", tomasz: "Tomasz", "a.okonkwo": "Adaeze Okonkwo", priya: "Priya", "jun.t": "Jun" };

/** Where it is between ten and eleven now: the pictures show a morning, whenever they are taken. */
function morning() {
  const hours = ((10 - new Date().getUTCHours() + 11 + 24) % 24) - 11;
  return `Etc/GMT${hours > 0 ? "-" : "+"}${Math.abs(hours)}`; // its signs are the other way round
}

/** The people of the picture, in their rooms, and how their talk begins. */
async function gather(server) {
  const people = {};
  const rooms = {};
  for (const [user, name] of Object.entries(PEOPLE)) {
    people[name] = await server.user(user, { name });
    rooms[name] = people[name].join("release-0.9");
    people[name].join("lobby");
    await rooms[name].ready();
  }
  await people.Jun.status("away");
  await people.Priya.status("busy");
  await rooms.Tomasz.set("topic", "Cutting 0.9 on Thursday. Blockers only.");
  const talk = [
    ["Maren Vogt", "Morning. The candidate has been on staging since six, and nothing has paged."],
    ["Tomasz", "How does the drain look? Last time half the dashboards came back in the same second."],
    ["Maren Vogt", "Spread over eight seconds now. The server tells each client when to come back:\nhttps://example.org/notes/drain"],
    ["Maren Vogt", "I pulled a node in the middle of it. Nobody lost a line."],
    ["Adaeze Okonkwo", "Saw it from the train: tunnel, forty seconds of nothing, then all of it at once and in order."],
  ];
  for (const [name, text] of talk) await rooms[name].chat(text);
  return { people, rooms };
}

async function photograph(browser, options, colorScheme) {
  const narrow = options === NARROW;
  const server = await Server.start();
  const page = await openWindow(browser, `${server.url}/?room=release-0.9&room=lobby&room=ops/eu-west#release-0.9`, {
    ...options,
    colorScheme,
    locale: "en-GB",
    timezoneId: morning(),
  });
  const shot = (what) => page.screenshot({ path: pictureFile(what, options, colorScheme) });
  try {
    const { people, rooms } = await gather(server);
    await shot("entry");

    await signIn(page, "Ines");
    await page.getByText("Nobody lost a line").waitFor();
    await say(page, "Then I have only the changelog left. Who reads it over?");
    await page.locator("#entries .mine").waitFor();
    await rooms.Tomasz.chat("Me. Give me ten minutes and a coffee.");
    for (const text of ["Is anybody upstairs?", "The door is stuck again."]) await people.Jun.join("lobby").chat(text);
    await page.locator('[data-key="#lobby"] .badge').getByText("2").waitFor({ state: "attached" });
    const self = [...rooms.Tomasz.members.values()].find(({ name }) => name === "Ines").user;
    await people["Adaeze Okonkwo"].direct(self, "Lunch at one?");
    await page.locator("#directs .badge").waitFor({ state: "attached" });
    rooms["Adaeze Okonkwo"].typing();
    await page.getByText("Adaeze Okonkwo is typing…").waitFor();
    await shot("chat");

    if (narrow) {
      await page.getByRole("button", { name: /^Conversations/ }).tap();
      await page.waitForFunction(() => document.getElementById("places").getBoundingClientRect().left === 0);
      await shot("drawer");
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Members", exact: true }).tap();
      await page.waitForFunction(() => document.getElementById("people").getBoundingClientRect().right === innerWidth);
      await shot("members");
    } else {
      await page.locator("#directs .place").click();
      await page.locator("#entries").getByText("Lunch at one?").waitFor();
      await say(page, "Make it half past, I am in a call.");
      await page.locator("#entries .mine").waitFor();
      await shot("direct");
    }
    for (const client of Object.values(people)) client.close();
  } finally {
    await page.context().close();
    await server.dispose();
  }
}

await takePictures(photograph);
