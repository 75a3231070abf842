/** Names that a generator is asked for: who waits, what appears, and what "no such file" as an answer means. */
import { expect, test } from "bun:test";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

function shop(...patterns: readonly string[]): ServedTree {
  const sources = patterns.length > 0 ? patterns : ["customers/{id}.json"];
  const fs = served({ named: sources.map((one) => ({ match: one, generator: "shop" })) });
  fs.directory("/customers");
  return fs;
}

function lookup(fs: ServedTree, name: string, directory = "/customers"): number {
  return fs.kernel.start("lookup", directory === "/" ? ROOT : fs.node(directory), { name });
}

test("a lookup waits until the generator has made the file, which then stays", () => {
  using fs = shop();
  const first = lookup(fs, "7.json");
  const second = lookup(fs, "7.json");
  expect(fs.kernel.outcome(first)).toBeUndefined();
  expect(fs.requests).toHaveLength(1);
  expect(fs.requests[0]).toMatchObject({ path: "/customers/7.json", generator: "shop", pause: 0 });
  expect(fs.requests[0]?.file.xattrs.get("user.llmfs.origin")).toBe("/customers/7.json");
  expect(fs.ls("/customers").filter((name) => !name.startsWith("."))).toEqual([]);
  fs.content("seven");
  expect(fs.kernel.outcome(first)).toHaveProperty("value");
  expect(fs.kernel.outcome(second)).toHaveProperty("value");
  expect(fs.ls("/customers").filter((name) => !name.startsWith("."))).toEqual(["7.json"]);
  expect(fs.cat("/customers/7.json")).toBe("seven");
  expect(fs.requests).toHaveLength(1);
});

test("a name without a file is missing, and the generator is asked again the next time", () => {
  using fs = shop();
  for (let time = 1; time <= 3; time++) {
    const missing = lookup(fs, "9.json");
    expect(fs.requests).toHaveLength(time);
    fs.failed("ENOENT");
    expect(fs.kernel.outcome(missing)).toEqual({ error: "ENOENT" });
  }
  expect(fs.requests.map(({ pause }) => pause)).toEqual([0, 0, 0]);
  expect(fs.tree.space.inodes).toBe(2);
});

test("a name that matches no rule, or is in another directory, causes no request", () => {
  using fs = shop();
  expect(fs.kernel.outcome(lookup(fs, "7.txt"))).toMatchObject({ value: { nodeid: 0 } });
  expect(fs.kernel.outcome(lookup(fs, "customers.json", "/"))).toMatchObject({ value: { nodeid: 0 } });
  expect(fs.kernel.outcome(lookup(fs, "\xff.json"))).toMatchObject({ value: { nodeid: 0 } });
  expect(fs.requests).toEqual([]);
});

test("a failing source is asked at growing intervals", () => {
  using fs = shop();
  for (let time = 0; time < 6; time++) {
    const name = lookup(fs, `${time}.json`);
    fs.failed("EHOSTUNREACH");
    expect(fs.kernel.outcome(name)).toEqual({ error: "EHOSTUNREACH" });
  }
  expect(fs.requests.map(({ pause }) => pause)).toEqual([0, 0, 250, 500, 1000, 2000]);
  lookup(fs, "7.json");
  fs.content("there it is");
  lookup(fs, "8.json");
  expect(fs.requests.at(-1)?.pause).toBe(0);
  fs.failed("ENOENT");
});

test("a file created by a user during the lookup wins over the generated one", () => {
  using fs = shop();
  const asked = lookup(fs, "7.json");
  fs.file("/customers/7.json", "mine");
  fs.content("theirs");
  expect(fs.kernel.outcome(asked)).toHaveProperty("value");
  expect(fs.cat("/customers/7.json")).toBe("mine");
});

test("a lookup whose last waiter left makes no file", () => {
  using fs = shop();
  const asked = lookup(fs, "7.json");
  fs.kernel.interrupt(asked);
  expect(fs.kernel.outcome(asked)).toEqual({ error: "EINTR" });
  expect(fs.cancelled).toEqual([fs.ticket]);
  fs.content("late");
  expect(fs.tree.space.inodes).toBe(2);
});

test("a file whose directory is removed during generation is dropped", () => {
  using fs = shop();
  const asked = lookup(fs, "7.json");
  fs.tree.rmdir(fs.tree.root, "customers");
  fs.content("seven");
  expect(fs.kernel.outcome(asked)).toHaveProperty("error");
});

test("a file that its generator no longer provides when it is generated again disappears from its directory", () => {
  using fs = shop();
  lookup(fs, "7.json");
  fs.mount.waiters.takeContent(fs.ticket, { bytes: Buffer.from("seven"), metadata: new Map(), refresh: "always" });
  const open = fs.kernel.start("open", fs.node("/customers/7.json"), { flags: 0 });
  fs.failed("ENOENT");
  expect(fs.kernel.outcome(open)).toEqual({ error: "ENOENT" });
  expect(fs.ls("/customers").filter((name) => !name.startsWith("."))).toEqual([]);
});

test("a generator can read on-demand files too, and a cycle is an error", () => {
  using fs = shop("customers/{id}.json", "reports/{id}.md");
  fs.directory("/reports");
  const read: string[] = [];
  const reading = (path: string, requester?: number) =>
    fs.answers.read(
      path,
      requester,
      (bytes) => void read.push(Buffer.from(bytes).toString()),
      (error) => void read.push(error.code),
    );
  reading("/customers/7.json");
  expect(read).toEqual([]);
  fs.content("seven");
  reading("/customers/8.json");
  fs.failed("ENOENT");
  expect(read).toEqual(["seven", "ENOENT"]);

  const report = lookup(fs, "1.md", "/reports");
  const { ticket } = fs;
  reading("/customers/9.json", ticket);
  const customer = fs.ticket;
  expect(() => reading("/reports/1.md", customer)).toThrow("/reports/1.md");
  fs.failed("ENOENT");
  fs.failed("EIO", "EIO", ticket);
  expect(fs.kernel.outcome(report)).toEqual({ error: "EIO" });
});

test("a file that is looked up is as old as the mount, and does not change the directory's mtime", () => {
  using fs = served({ named: [{ match: "customers/{id}.json", generator: "shop" }], size: 65_536 });
  const { mtime } = fs.directory("/customers").times();
  const old = fs.kernel.stat(ROOT).mtime;
  for (let time = 0; time < 2; time++) {
    fs.clock.tick();
    lookup(fs, "7.json");
    fs.content("seven");
    expect(fs.kernel.stat(fs.node("/customers/7.json"))).toMatchObject({ mtime: old, ctime: fs.clock.seconds });
    expect(fs.kernel.stat(fs.node("/customers"))).toMatchObject({ mtime, ctime: fs.clock.seconds });
    // A file that is found again after it was withdrawn does not become newer.
    const file = fs.tree.resolve("/customers/7.json", { follow: true });
    fs.kernel.forget(file.ino);
    fs.mount.ruleEntries.makeRoom(65_536);
    expect(fs.tree.space.usedPages).toBe(0);
    expect(fs.kernel.stat(fs.node("/customers")).mtime).toBe(mtime);
  }
});
