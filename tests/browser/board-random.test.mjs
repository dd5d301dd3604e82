/** Many people on a board, over lines that break: whatever happens, all see the same in the end. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { boardWith, randomFrom } from "./board-world.mjs";

describe("many people at random", () => {
  /** What anybody may do, online or not. */
  function act(person, random) {
    const { model } = person;
    const columns = model.columns();
    const cards = columns.flatMap((column) => column.cards);
    const card = cards.length > 0 ? random.of(cards) : null;
    const word = () => random.below(1e6).toString(36);
    switch (random.below(card ? 11 : 1)) {
      case 0:
      case 1:
        return model.addCard(random.of(columns).id, word());
      case 2:
      case 3:
        return model.moveCard(card.key, random.of(columns).id, random.below(4));
      case 4:
        return model.changeCard(card.key, "title", word(), person.pending.view(card.key));
      case 5:
        return model.changeCard(card.key, "text", word(), person.pending.view(card.key));
      case 6:
      case 7:
        return model.comment(card.key, word());
      case 8:
        return random.below(3) === 0 ? model.removeCard(card.key) : undefined;
      case 9:
        return model.undo();
      default:
        return model.redo();
    }
  }

  function decide(random) {
    return (person, key) => {
      const shown = person.pending.conflictOf(key);
      if (shown.deleted) return person.pending.resolve(key, shown, random.of([null, shown.mine ?? shown.theirs]));
      const choice = Object.fromEntries(shown.fields.map((field) => [field, random.of([shown.mine, shown.theirs])[field]]));
      person.pending.resolve(key, shown, choice);
    };
  }

  test("all see the same in the end, and it is what the server has", () => {
    for (let seed = 1; seed <= 150; seed += 1) {
      const random = randomFrom(seed);
      const { world, people } = boardWith("Ada", "Ben", "Cyd");
      for (let n = 0; n < 250; n += 1) {
        const person = random.of(people);
        const roll = random.below(100);
        if (roll < 35) act(person, random);
        else if (roll < 65) person.step({ loseAnswer: random.below(12) === 0 });
        else if (roll < 88) person.hear(random);
        else if (roll < 91) person.disconnect();
        else if (roll < 97) person.connect();
        else if (roll < 99) person.reload();
        else for (const key of person.pending.keys) if (person.pending.conflictOf(key)) decide(random)(person, key);
      }
      world.settle({ decide: decide(random) });
      for (const { name, model } of people) {
        assert.equal(model.pending.size, 0, `seed ${seed}: ${name} has something pending`);
        const seen = [...model.pending.entries()].sort();
        const held = [...world.state].map(([key, { value }]) => [key, value]).sort();
        assert.deepEqual(seen, held, `seed ${seed}: ${name}`);
        assert.deepEqual(model.columns(), people[0].model.columns(), `seed ${seed}: ${name}`);
      }
    }
  });

  test("no comment and no card is lost where nobody deletes or undoes", () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const random = randomFrom(seed * 31);
      const { world, people } = boardWith("Ada", "Ben", "Cyd");
      const cards = people.map(({ model }, n) => model.addCard("todo", `card ${n}`));
      world.settle();
      const said = [];
      for (let n = 0; n < 120; n += 1) {
        const person = random.of(people);
        const roll = random.below(100);
        const key = random.of(cards);
        if (roll < 20 && person.model.card(key)) {
          said.push(`note ${n}`);
          person.model.comment(key, `note ${n}`);
        } else if (roll < 30) person.model.moveCard(key, random.of(["todo", "doing", "done"]), random.below(3));
        else if (roll < 36) cards.push(person.model.addCard("done", `card ${n + 10}`));
        else if (roll < 66) person.step({ loseAnswer: random.below(8) === 0 });
        else if (roll < 88) person.hear(random);
        else if (roll < 92) person.disconnect();
        else if (roll < 97) person.connect();
        else person.reload();
      }
      world.settle({ decide: decide(random) });
      const all = people[0].model.columns().flatMap((column) => column.cards);
      assert.deepEqual(all.map(({ key }) => key).sort(), [...cards].sort(), `seed ${seed}`);
      assert.deepEqual(all.flatMap(({ notes }) => notes.map(({ text }) => text)).sort(), said.sort(), `seed ${seed}`);
      assert.deepEqual(people[1].model.columns(), people[0].model.columns());
    }
  });
});
