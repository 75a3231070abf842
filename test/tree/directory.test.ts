import { describe, expect, test } from "bun:test";
import { Directory } from "../../src/tree/directory.ts";
import { RegularFile } from "../../src/tree/file.ts";
import { type Clock, fixedClock } from "../../src/tree/inode.ts";
import { Space } from "../../src/tree/space.ts";

const clock: Clock = fixedClock(0);
const OWNER = { uid: 0, gid: 0 };
const space = new Space();

let ino = 1;
function fill(names: Iterable<string>): Directory {
  const directory = new Directory(ino++, 0o755, OWNER, clock);
  for (const name of names) directory.insert(name, new RegularFile(ino++, 0o644, OWNER, clock, space));
  return directory;
}

/** Reads as the kernel does: a number of entries at a time, each time from the last cookie. */
function read(directory: Directory, count: number, between: () => void = () => {}): string[] {
  const names: string[] = [];
  for (let cookie = Number.POSITIVE_INFINITY; ; between()) {
    let taken = 0;
    directory.visitBefore(cookie, (dentry) => {
      if (taken === count) return false;
      taken++;
      names.push(dentry.name);
      cookie = dentry.cookie;
      return true;
    });
    if (taken === 0) return names;
  }
}

const names = (count: number) => Array.from({ length: count }, (_value, index) => `n${index}`);

describe("reading a directory in parts", () => {
  test("reading a directory in parts returns every entry once, the newest first", () => {
    for (const count of [1, 3, 1000]) expect(read(fill(names(100)), count)).toEqual(names(100).reverse());
  });

  test("reading a directory in parts returns every entry that stays once, whatever else is removed in the meantime", () => {
    const directory = fill(names(1000));
    let next = 0;
    const seen = read(directory, 10, () => {
      // What was returned, and what is still to come: as rm -r with a second process.
      for (let removed = 0; removed < 9 && next < 500; removed++, next++) directory.remove(`n${next}`);
      directory.checkInvariants();
    });
    expect(new Set(seen).size).toBe(seen.length);
    for (let stays = 500; stays < 1000; stays++) expect(seen).toContain(`n${stays}`);
  });

  test("reading a directory in parts returns an entry that is removed and created again in the meantime at most once more", () => {
    const directory = fill(names(100));
    let rounds = 0;
    const seen = read(directory, 10, () => {
      if (rounds++ > 50) return;
      directory.remove("n5");
      directory.insert("n5", new RegularFile(ino++, 0o644, OWNER, clock, space));
    });
    expect(seen.filter((name) => name !== "n5")).toEqual(
      names(100)
        .reverse()
        .filter((name) => name !== "n5"),
    );
  });

  test("reading a directory in parts ends even if an entry is added for each that is read", () => {
    const directory = fill(names(10));
    let added = 0;
    const seen = read(directory, 1, () => {
      if (added < 100) directory.insert(`added${added++}`, new RegularFile(ino++, 0o644, OWNER, clock, space));
    });
    expect(seen).toEqual(names(10).reverse());
  });

  test("reading a directory in parts continues after a cookie whose entry is gone", () => {
    const directory = fill(names(100));
    const cookie = directory.get("n49")?.cookie ?? 0;
    for (let index = 10; index < 90; index++) directory.remove(`n${index}`);
    directory.checkInvariants();
    const after: string[] = [];
    directory.visitBefore(cookie, ({ name }) => after.push(name) > 0);
    expect(after).toEqual(names(10).reverse());
  });

  test("reading a directory in parts never uses a cookie again", () => {
    const directory = fill(["a"]);
    const used = new Set<number>();
    for (let round = 0; round < 100; round++) {
      const cookie = directory.remove("a").cookie;
      expect(used.has(cookie)).toBe(false);
      used.add(cookie);
      directory.insert("a", new RegularFile(ino++, 0o644, OWNER, clock, space));
    }
  });
});

test("names of Object.prototype's properties are ordinary names", () => {
  const directory = fill(["__proto__", "constructor", "hasOwnProperty"]);
  expect(directory.size).toBe(3);
  expect(directory.get("toString")).toBeUndefined();
  directory.remove("__proto__");
  expect(directory.get("__proto__")).toBeUndefined();
});

test("an inode knows one of its names, and forgets it when the name is removed", () => {
  const directory = fill(["a"]);
  const inode = directory.get("a")?.inode;
  expect(inode?.dentry?.name).toBe("a");
  directory.remove("a");
  expect(inode?.dentry).toBeUndefined();
});

test("removing a hundred thousand entries takes as long as a few passes over them", () => {
  const directory = fill(names(100_000));
  for (const name of names(100_000)) directory.remove(name);
  directory.checkInvariants();
  expect(directory.size).toBe(0);
});
