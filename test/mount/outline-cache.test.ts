/** The outline of a tree that changes: how often it is fetched, and that it is never older than a known change. */
import { expect, test } from "bun:test";
import { OutlineCache } from "../../src/mount/outline-cache.ts";

/** A tree whose version is its only entry; fetching it takes 20 ms of a clock that the test sets. */
function watched() {
  const tree = { version: 1, now: 0, fetched: 0, drawing: 0 };
  const sleepers: { readonly until: number; wake(): void }[] = [];
  const clock = {
    now: () => tree.now,
    idle: async () => {
      tree.now += tree.drawing;
    },
    sleep: (ms: number) => new Promise<void>((wake) => sleepers.push({ until: tree.now + ms, wake })),
  };
  const layout = new OutlineCache(async (known) => {
    tree.fetched += 1;
    tree.now += 20;
    const { version } = tree;
    return version === known ? { version } : { version, entries: [{ path: `/${version}`, type: "file" }] };
  }, clock);
  const get = async () => (await layout.get()).map(({ path }) => path).join();
  const change = () => layout.noteVersion(++tree.version);
  const pass = (ms: number) => {
    tree.now += ms;
    for (const one of sleepers.splice(0)) {
      if (one.until <= tree.now) one.wake();
      else sleepers.push(one);
    }
  };
  return { tree, layout, get, change, pass };
}

test("an unchanged outline is fetched once, even for concurrent callers", async () => {
  const { tree, get } = watched();
  expect(await Promise.all([get(), get(), get()])).toEqual(["/1", "/1", "/1"]);
  expect(await get()).toBe("/1");
  expect(tree.fetched).toBe(1);
});

test("the pause after fetching an outline is ten times as long as fetching and drawing it took", async () => {
  const { tree, get, change, pass } = watched();
  tree.drawing = 50;
  await get();
  change();
  const next = get();
  pass(699);
  await Promise.resolve();
  expect(tree.fetched).toBe(1);
  pass(1);
  expect(await next).toBe("/2");
});

test("a change after the pause is seen at once", async () => {
  const { tree, get, change, pass } = watched();
  await get();
  pass(200);
  change();
  expect(await get()).toBe("/2");
  expect(tree.fetched).toBe(2);
});

test("an outline that keeps changing is fetched after pauses, and callers in between share the next fetch", async () => {
  const { tree, get, change, pass } = watched();
  await get();
  const asked: Promise<string>[] = [];
  for (let round = 0; round < 19; round++) {
    change();
    asked.push(get());
    pass(10);
  }
  expect(tree.fetched).toBe(1);
  pass(10);
  expect(new Set(await Promise.all(asked))).toEqual(new Set(["/20"]));
  expect(tree.fetched).toBe(2);
});

test("a change while the outline is fetched is not missed", async () => {
  const { get, change, pass, layout, tree } = watched();
  await get();
  pass(1000);
  change();
  const first = get();
  // Reported after the fetch was answered, before its answer is processed.
  layout.noteVersion(++tree.version);
  const second = get();
  expect(await first).toBe("/2");
  pass(1000);
  expect(await second).toBe("/3");
});

test("an outline whose fetch fails is fetched again", async () => {
  let fails = true;
  const layout = new OutlineCache(async () => {
    if (fails) throw new Error("closed");
    return { version: 1, entries: [{ path: "/1", type: "file" }] };
  });
  await expect(layout.get()).rejects.toThrow("closed");
  fails = false;
  expect(await layout.get()).toHaveLength(1);
});
