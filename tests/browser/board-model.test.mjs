/** The board without network and page: order, merging, pending changes, undo. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DELETED, merge, same } from "../../static/board-merge.js";
import { FIRST_COLUMNS } from "../../static/board-model.js";
import { between, placeAt } from "../../static/board-order.js";
import { boardWith, randomFrom } from "./board-world.mjs";

describe("places", () => {
  test("there is always room between two, and none ends in 0", () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = randomFrom(seed);
      const places = [between("", null, random)];
      for (let n = 0; n < 400; n += 1) {
        const at = random.of([0, places.length, random.below(places.length + 1), Math.min(places.length, 7)]);
        const made = placeAt(places, at, random);
        assert.ok((places[at - 1] ?? "") < made && (at === places.length || made < places[at]), `seed ${seed}: ${made} at ${at}`);
        assert.doesNotMatch(made, /0$/);
        places.splice(at, 0, made);
      }
    }
  });

  test("they stay short where things are added at an end, and bearable where all go to one spot", () => {
    const random = randomFrom(7);
    const end = [];
    const start = [];
    for (let n = 0; n < 1_000; n += 1) {
      end.push(placeAt(end, end.length, random));
      start.unshift(placeAt(start, 0, random));
    }
    assert.ok(end.at(-1).length <= 60, end.at(-1));
    assert.ok(start[0].length <= 60, start[0]);
  });

  test("between equal places the new one is after them", () => {
    assert.ok(placeAt(["V", "V", "k"], 1) > "V");
    assert.ok(placeAt(["V", "V", "k"], 1) < "k");
    assert.ok(placeAt(["V", "V"], 1) > "V");
  });
});

describe("merging", () => {
  const base = { title: "a", text: "b", label: "", by: "Ada" };

  test("takes each field from the side that changed it", () => {
    const { value, conflicts } = merge(base, { ...base, title: "A" }, { ...base, text: "B", by: "Ben" });
    assert.deepEqual(value, { title: "A", text: "B", label: "", by: "Ada" });
    assert.deepEqual(conflicts, []);
  });

  test("tells where both changed the same field, unless to the same", () => {
    assert.deepEqual(merge(base, { ...base, title: "A" }, { ...base, title: "AA" }).conflicts, ["title"]);
    const agreed = merge(base, { ...base, title: "A" }, { ...base, title: "A", by: "Ben" });
    assert.deepEqual(agreed, { value: { ...base, title: "A", by: "Ben" }, conflicts: [] });
  });

  test("tells of a deletion against a change, not of one against nothing", () => {
    assert.deepEqual(merge(base, null, { ...base, title: "A" }).conflicts, [DELETED]);
    assert.deepEqual(merge(base, { ...base, title: "A" }, null).conflicts, [DELETED]);
    assert.deepEqual(merge(base, base, null), { value: null, conflicts: [] });
    assert.deepEqual(merge(base, null, null), { value: null, conflicts: [] });
  });

  test("keeps all comments that either side added, and none that either side removed", () => {
    const note = (id, at) => ({ id, at, text: id });
    const before = { ...base, notes: [note("1", 1), note("2", 2)] };
    const mine = { ...base, notes: [note("2", 2), note("4", 4)] };
    const theirs = { ...base, notes: [note("1", 1), note("3", 3)] };
    const { value, conflicts } = merge(before, mine, theirs);
    assert.deepEqual(value.notes.map(({ id }) => id), ["3", "4"]);
    assert.deepEqual(conflicts, []);
  });

  test("does not care for the order of keys", () => {
    assert.ok(same({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }));
    assert.ok(!same({ a: 1 }, { a: 1, b: undefined }) && !same([], {}) && !same(null, {}));
  });
});

describe("pending changes", () => {
  test("are seen at once, written with the version known, and gone when acknowledged", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    assert.equal(ada.pending.stateOf(key), "waiting");
    assert.deepEqual(ada.titles("todo"), ["eggs"]);
    ada.step();
    assert.equal(ada.pending.stateOf(key), "sending");
    world.settle();
    assert.equal(ada.pending.stateOf(key), "saved");
    assert.deepEqual(ben.titles("todo"), ["eggs"]);
    assert.equal(ben.model.card(key).by, "Ada");
  });

  test("made while one is under way are written after it", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    ada.step();
    ada.model.changeCard(key, "title", "more eggs", ada.pending.view(key));
    ada.model.moveCard(key, "done", 0);
    world.settle();
    assert.deepEqual(ben.titles("done"), ["more eggs"]);
    assert.equal(ada.pending.size, 0);
  });

  test("of different fields are merged without a word", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    world.settle();
    ada.model.changeCard(key, "title", "six eggs", ada.pending.view(key));
    ben.model.changeCard(key, "text", "brown ones", ben.pending.view(key));
    ben.model.moveCard(key, "doing", 0);
    world.settle();
    for (const { model } of [ada, ben]) {
      const { title, text, column } = model.card(key);
      assert.deepEqual([title, text, column], ["six eggs", "brown ones", "doing"]);
    }
  });

  /** Both change the title; Ben's is first. */
  function contested() {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    world.settle();
    ada.disconnect();
    ada.model.changeCard(key, "title", "Ada's", ada.pending.view(key));
    ada.model.changeCard(key, "label", "red", ada.pending.view(key));
    ben.model.changeCard(key, "title", "Ben's", ben.pending.view(key));
    world.settle({ people: [ben] });
    world.settle();
    return { world, ada, ben, key };
  }

  test("of the same field wait for a decision, and the others are shown meanwhile", () => {
    const { world, ada, ben, key } = contested();
    const shown = ada.pending.conflictOf(key);
    assert.deepEqual(shown.fields, ["title"]);
    assert.equal(shown.theirs.title, "Ben's");
    assert.equal(shown.mine.title, "Ada's");
    assert.equal(ada.pending.stateOf(key), "conflict");
    assert.equal(ben.model.card(key).label, "");

    ada.pending.resolve(key, shown, { title: "Ada's" });
    world.settle();
    for (const { model } of [ada, ben]) assert.deepEqual([model.card(key).title, model.card(key).label], ["Ada's", "red"]);
  });

  test("a decision against what is no longer there is asked again", () => {
    const { world, ada, ben, key } = contested();
    const shown = ada.pending.conflictOf(key);
    ben.model.changeCard(key, "title", "Ben's second", ben.pending.view(key));
    world.settle();
    ada.pending.resolve(key, shown, { title: "Ada's" });
    assert.equal(ada.pending.conflictOf(key).theirs.title, "Ben's second");
    ada.pending.resolve(key, ada.pending.conflictOf(key), { title: "Ben's second" });
    world.settle();
    assert.equal(ada.pending.size, 0);
    assert.equal(ben.model.card(key).title, "Ben's second");
    assert.equal(ben.model.card(key).label, "red");
  });

  test("a conflict is over when the other side goes back to what it was", () => {
    const { world, ada, ben, key } = contested();
    ben.model.undo();
    world.settle();
    assert.equal(ada.pending.size, 0);
    assert.equal(ben.model.card(key).title, "Ada's");
  });

  test("to a card that was deleted meanwhile: kept, or deleted, as one likes", () => {
    for (const keep of [true, false]) {
      const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
      const key = ada.model.addCard("todo", "eggs");
      world.settle();
      ada.disconnect();
      ada.model.comment(key, "do not lose this");
      ben.model.removeCard(key);
      world.settle({ people: [ben] });
      world.settle();
      const shown = ada.pending.conflictOf(key);
      assert.equal(shown.deleted, "there");
      ada.pending.resolve(key, shown, keep ? shown.mine : null);
      world.settle();
      assert.deepEqual(ben.model.card(key)?.notes.map(({ text }) => text), keep ? ["do not lose this"] : undefined);
      assert.equal(ada.pending.size, 0);
    }
  });

  test("a deletion of what somebody changed meanwhile is asked about; of what was only moved, not", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const [moved, changed] = ["moved", "changed"].map((title) => ada.model.addCard("todo", title));
    world.settle();
    ada.disconnect();
    for (const key of [moved, changed]) ada.model.removeCard(key);
    ben.model.moveCard(moved, "done", 0);
    ben.model.changeCard(changed, "text", "wait", ben.pending.view(changed));
    world.settle({ people: [ben] });
    world.settle();
    assert.equal(ben.model.card(moved), null);
    assert.equal(ada.pending.conflictOf(changed).deleted, "here");
    ada.pending.resolve(changed, ada.pending.conflictOf(changed), ada.pending.theirs(changed));
    world.settle();
    assert.equal(ada.model.card(changed).text, "wait");
  });

  test("two moves to the same column make no conflict, to two columns they do", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    for (const title of ["one", "two"]) ada.model.addCard("done", title);
    world.settle();
    ada.disconnect();
    ada.model.moveCard(key, "done", 0);
    ben.model.moveCard(key, "done", 2);
    world.settle({ people: [ben] });
    world.settle();
    assert.deepEqual(ben.titles("done"), ["eggs", "one", "two"]);
    ada.disconnect();
    ada.model.moveCard(key, "todo", 0);
    ben.model.moveCard(key, "doing", 0);
    world.settle({ people: [ben] });
    world.settle();
    assert.deepEqual(ada.pending.conflictOf(key).fields, ["place"]);
  });

  test("typed into a field that moved on meanwhile: a conflict with what was seen, not an overwriting", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    world.settle();
    const seen = ada.pending.view(key);
    ben.model.changeCard(key, "title", "Ben's", ben.pending.view(key));
    world.settle();
    ada.model.changeCard(key, "title", "Ada's", seen);
    assert.deepEqual(ada.pending.conflictOf(key).fields, ["title"]);
    assert.equal(ben.model.card(key).title, "Ben's");
  });

  test("typed over what was merged into a change that waits: a conflict as well", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    world.settle();
    const seen = ada.pending.view(key);
    ada.model.changeCard(key, "label", "red", seen);
    ada.pending.refused(key, ada.pending.due()[0].nonce, "not now");
    ben.model.changeCard(key, "title", "Ben's", ben.pending.view(key));
    world.settle();
    assert.deepEqual([ada.model.card(key).title, ada.model.card(key).label], ["Ben's", "red"]);
    ada.model.changeCard(key, "title", "Ada's", seen);
    assert.deepEqual(ada.pending.conflictOf(key).fields, ["title"]);
  });

  test("refused for good are shown as failed until changed, tried again or given up", () => {
    const { people: [ada] } = boardWith("Ada");
    const key = ada.model.addCard("todo", "eggs");
    const refuse = () => {
      const [{ nonce }] = ada.pending.due();
      ada.pending.refused(key, nonce, "the board is full");
    };
    refuse();
    assert.equal(ada.pending.stateOf(key), "failed");
    assert.equal(ada.pending.problemOf(key), "the board is full");
    assert.deepEqual(ada.pending.due(), []);
    ada.pending.retry(key);
    refuse();
    ada.model.changeCard(key, "title", "egg", ada.pending.view(key));
    assert.equal(ada.pending.stateOf(key), "waiting");
    refuse();
    ada.pending.discard(key);
    assert.equal(ada.model.card(key), null);
  });

  test("outlive a reload, also one under way whose answer never came", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    ada.step({ loseAnswer: true }); // it arrived
    ada.model.addCard("todo", "milk");
    ada.reload();
    assert.deepEqual(ada.titles("todo"), ["eggs", "milk"]);
    ben.hear();
    ben.model.changeCard(key, "title", "Ben's eggs", ben.pending.view(key));
    world.settle();
    assert.deepEqual(ben.titles("todo"), ["Ben's eggs", "milk"]);
    assert.deepEqual(ada.titles("todo"), ["Ben's eggs", "milk"]);
    assert.equal(ada.pending.size, 0);
  });

  test("told of as done when somebody has deleted them since: they stay deleted", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "Eggs");
    ada.step({ loseAnswer: true }); // it arrived
    world.settle({ people: [ben] });
    ben.model.removeCard(key);
    world.settle({ people: [ben] });
    world.settle(); // Ada comes back, writes the same again, and hears that it is done
    assert.equal(ada.model.card(key), null);
    assert.deepEqual(ada.model.columns(), ben.model.columns());
  });

  test("survive a server that forgot everything", () => {
    const { world, people: [ada] } = boardWith("Ada");
    const key = ada.model.addCard("todo", "eggs");
    world.settle();
    ada.disconnect();
    ada.model.changeCard(key, "title", "my eggs", ada.pending.view(key));
    world.restart();
    for (const [column, value] of FIRST_COLUMNS) world.write({ key: column, value, nonce: `2${column}`, ifVersion: 0 });
    world.settle();
    const shown = ada.pending.conflictOf(key);
    assert.equal(shown.deleted, "there");
    ada.pending.resolve(key, shown, shown.mine);
    world.settle();
    assert.equal(world.state.get(key).value.title, "my eggs");
  });
});

test("a condition on a version does not outlive the log that the version is of", () => {
  const { world, people: [ada] } = boardWith("Ada");
  const key = ada.model.addCard("todo", "eggs");
  world.settle();
  const { version } = world.state.get(key);
  ada.model.changeCard(key, "title", "Ada's", ada.pending.view(key));
  ada.pending.due(); // on its way when the server dies, and it did not arrive
  ada.reload();
  world.restart();
  for (let seq = 1; seq < version; seq += 1) world.write({ key: `column/${seq}`, value: { title: "x", place: "V" }, nonce: `${seq}`, ifVersion: 0 });
  world.write({ key, value: { title: "another card", place: ["todo", "V"], notes: [] }, nonce: "new", ifVersion: 0 });
  assert.equal(world.state.get(key).version, version);
  world.settle();
  assert.equal(world.state.get(key).value.title, "another card");
  assert.deepEqual(ada.pending.conflictOf(key).fields, ["title"]);
});

describe("columns", () => {
  test("are added, named, moved, and deleted when empty", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addColumn("Later");
    assert.ok(ada.model.moveColumn(key, -3));
    assert.ok(!ada.model.moveColumn(key, -1));
    ada.model.renameColumn(key, "Sooner", ada.pending.view(key));
    world.settle();
    assert.deepEqual(ben.model.columns().map(({ title }) => title), ["Sooner", "To do", "Doing", "Done"]);
    ben.model.addCard("todo", "eggs");
    assert.ok(!ben.model.removeColumn("column/todo"));
    assert.ok(ben.model.removeColumn(key));
    world.settle();
    assert.equal(ada.model.columns().length, 3);
  });

  test("a card in a column that was deleted meanwhile stands in the first", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    ada.disconnect();
    ada.model.addCard("doing", "eggs");
    ben.model.removeColumn("column/doing");
    world.settle();
    assert.deepEqual(ben.titles("todo"), ["eggs"]);
    const [{ key }] = ben.model.columns()[0].cards;
    assert.ok(ben.model.moveCard(key, "done", 0));
    world.settle();
    assert.deepEqual(ada.titles("done"), ["eggs"]);
  });
});

describe("undo", () => {
  test("and redo go back and forth through own actions", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const { model } = ada;
    const key = model.addCard("todo", "eggs");
    model.changeCard(key, "title", "six eggs", ada.pending.view(key));
    model.moveCard(key, "done", 0);
    model.comment(key, "brown");
    model.removeCard(key);
    world.settle();
    const seen = [];
    for (let n = 0; n < 5; n += 1) {
      assert.equal(model.undo().kept, false);
      world.settle();
      const card = ben.model.card(key);
      seen.push(card && `${card.title} ${card.column} ${card.notes.length}`);
    }
    assert.deepEqual(seen, ["six eggs done 1", "six eggs done 0", "six eggs todo 0", "eggs todo 0", null]);
    assert.equal(model.undo(), null);
    while (model.redo());
    world.settle();
    assert.equal(ben.model.card(key), null);
    model.undo();
    world.settle();
    assert.equal(ben.model.card(key).notes[0].text, "brown");
  });

  test("leaves alone what others changed since", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    ada.model.changeCard(key, "title", "six eggs", ada.pending.view(key));
    world.settle();
    ben.model.changeCard(key, "title", "ten eggs", ben.pending.view(key));
    ben.model.comment(key, "from Ben");
    world.settle();
    assert.deepEqual(ada.model.undo(), { name: "the change of “eggs”", kept: true, done: false });
    assert.deepEqual(ada.model.undo(), { name: "the card “eggs”", kept: true, done: false });
    world.settle();
    assert.equal(ben.model.card(key).title, "ten eggs");
    assert.equal(ada.model.undoing.canRedo, false);
  });

  test("of one field spares the other ones", () => {
    const { world, people: [ada, ben] } = boardWith("Ada", "Ben");
    const key = ada.model.addCard("todo", "eggs");
    ada.model.moveCard(key, "doing", 0);
    world.settle();
    ben.model.changeCard(key, "text", "kept", ben.pending.view(key));
    world.settle();
    assert.deepEqual(ada.model.undo(), { name: "the move of “eggs”", kept: false, done: true });
    world.settle();
    const { column, text } = ben.model.card(key);
    assert.deepEqual([column, text], ["todo", "kept"]);
  });

  test("a new action ends redo", () => {
    const { people: [ada] } = boardWith("Ada");
    ada.model.addCard("todo", "one");
    ada.model.undo();
    assert.ok(ada.model.undoing.canRedo);
    ada.model.addCard("todo", "two");
    assert.ok(!ada.model.undoing.canRedo);
  });
});
