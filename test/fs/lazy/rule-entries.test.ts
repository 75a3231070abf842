/** Entries that exist because a program looked: how many there may be, which are evicted first, and which stay. */
import { expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import type { Directory } from "../../../src/tree/directory.ts";
import type { Inode } from "../../../src/tree/inode.ts";
import { components } from "../../../src/tree/path.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { Random } from "../../support/random.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

interface Limits {
  readonly inodes?: number;
  readonly size?: number;
}

/** Files in `/found` are made by lookups; `/d` is listed once. */
function shop(limits: Limits): { fs: ServedTree; directory: Directory } {
  const named = [{ match: "found/{id}", generator: "shop" }];
  const fs = served({ ...limits, listing: true, named });
  fs.directory("/found");
  const directory = fs.directory("/d");
  setXattr(directory, "user.llmfs.generator", Buffer.from("shop"));
  return { fs, directory };
}

/** Looks up a name in `/found`; the generator answers with this content. The errno, or "ok". */
function find(fs: ServedTree, name: string, content: string | Uint8Array = name): string {
  const before = fs.requests.length;
  const lookup = fs.kernel.start("lookup", fs.node("/found"), { name });
  if (fs.requests.length > before) fs.content(content);
  const outcome = fs.kernel.outcome(lookup);
  if (outcome === undefined) throw new Error("it waits");
  return "error" in outcome ? outcome.error : "ok";
}

function names(fs: ServedTree, path: string): string[] {
  const directory = fs.tree.resolve(path, { follow: false });
  if (directory.kind !== "directory") throw new Error(`${path} is not a directory`);
  return [...directory.entries()].map(({ name }) => name);
}

/** Looks into a listed directory. The errno, or "ok". */
function list(fs: ServedTree, path: string, ...paths: readonly string[]): string {
  const asked = () => fs.posted.filter(({ type }) => type === "list").length;
  const before = asked();
  const open = fs.kernel.start("opendir", fs.node(path), {});
  if (asked() > before) {
    const request = fs.posted.findLast((message) => message.type === "list");
    const ticket = request?.type === "list" ? request.request.ticket : 0;
    const entries = paths.map((entry) => ({
      path: entry.replace(/\/$/, ""),
      type: entry.endsWith("/") ? ("directory" as const) : ("file" as const),
      generator: "shop",
    }));
    fs.mount.waiters.takeListing(ticket, { entries });
  }
  const outcome = fs.kernel.outcome(open);
  if (outcome === undefined) throw new Error("it waits");
  return "error" in outcome ? outcome.error : "ok";
}

function closeAll(fs: ServedTree): void {
  for (const [fh, nodeid] of fs.kernel.handles) fs.kernel.release(nodeid, fh);
}

test("any number of names can be looked up: the least recently used are evicted, and can be looked up again", () => {
  const { fs } = shop({ inodes: 40 });
  using _ = fs;
  for (let n = 0; n < 500; n++) {
    expect(find(fs, `${n}`)).toBe("ok");
    fs.node("/found/0");
    const own = fs.kernel.call("mkdir", ROOT, { name: "own", mode: 0o755 }).nodeid;
    fs.kernel.call("rmdir", ROOT, { name: "own" });
    fs.kernel.forget(own);
  }
  const there = names(fs, "/found");
  expect(there.length).toBeGreaterThan(20);
  expect(there).toContain("0");
  expect(there).toContain("499");
  expect(there).not.toContain("1");
  expect(find(fs, "1")).toBe("ok");
  expect(fs.cat("/found/1")).toBe("1");
});

test("users can create files even if looked-up files have taken all remaining space", () => {
  const { fs } = shop({ inodes: 64 });
  using _ = fs;
  for (let n = 0; n < 100; n++) find(fs, `${n}`);
  for (let n = 0; n < 55; n++) expect(fs.kernel.errno("mkdir", ROOT, { name: `${n}`, mode: 0o755 })).toBe("ok");
  expect(names(fs, "/").length).toBe(57);
});

test("looked-up files that are open stay, and leave a quarter of the inodes to users", () => {
  const { fs } = shop({ inodes: 80 });
  using _ = fs;
  const outcomes: string[] = [];
  for (let n = 0; n < 100; n++) {
    outcomes.push(find(fs, `${n}`));
    if (outcomes.at(-1) === "ok") fs.open(`/found/${n}`);
  }
  expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(60);
  expect(outcomes.at(-1)).toBe("ENOSPC");
  for (let n = 0; n < 17; n++) expect(fs.kernel.errno("mkdir", ROOT, { name: `${n}`, mode: 0o755 })).toBe("ok");
  expect(fs.kernel.errno("mkdir", ROOT, { name: "more", mode: 0o755 })).toBe("ENOSPC");
  closeAll(fs);
});

test("a looked-up file that a user changed, moved or linked belongs to the user and stays", () => {
  const { fs } = shop({ inodes: 40 });
  using _ = fs;
  const found = fs.node("/found");
  for (const name of ["mode", "attribute", "moved", "linked", "written", "times", "read"]) find(fs, name);
  fs.kernel.call("setattr", fs.node("/found/mode"), { valid: 1, mode: 0o600 });
  const value = Buffer.from("x");
  fs.kernel.call("setxattr", fs.node("/found/attribute"), { name: "user.a", value, size: 1 });
  fs.kernel.call("rename", found, { name: "moved", newdir: found, newname: "elsewhere" });
  fs.kernel.call("link", found, { oldnodeid: fs.node("/found/linked"), name: "link" });
  const file = fs.open("/found/written", 1);
  fs.write(file, "mine");
  fs.kernel.release(file.nodeid, file.fh);
  fs.kernel.call("setattr", fs.node("/found/times"), { valid: 1 << 5, mtime: 1 });
  fs.cat("/found/read");
  for (let n = 0; n < 100; n++) expect(find(fs, `${n}`)).toBe("ok");
  const there = names(fs, "/found").filter((name) => !/^\d+$/.test(name));
  expect(there.sort()).toEqual(["attribute", "elsewhere", "link", "linked", "mode", "times", "written"]);
});

test("contents of looked-up files take at most three quarters of the space, and open ones stay", () => {
  const { fs } = shop({ size: 64 * 4096 });
  using _ = fs;
  const content = Buffer.alloc(5 * 4096, "x");
  expect(find(fs, "open", content)).toBe("ok");
  fs.open("/found/open");
  for (let n = 0; n < 50; n++) expect(find(fs, `${n}`, content)).toBe("ok");
  expect(fs.tree.space.usedPages).toBeLessThanOrEqual(48);
  expect(names(fs, "/found")).toContain("open");
  const { nodeid, fh } = (() => {
    const made = fs.kernel.call("create", ROOT, { name: "own", flags: 2, mode: 0o644 });
    return { nodeid: made.entry.nodeid, fh: made.open.fh };
  })();
  expect(fs.write({ nodeid, fh }, Buffer.alloc(10 * 4096, "y"))).toBe(10 * 4096);
  fs.mount.ruleEntries.balancePages();
  expect(fs.tree.space.freePages).toBeGreaterThanOrEqual(8);
  expect(find(fs, "huge", Buffer.alloc(60 * 4096))).toBe("ENOSPC");
  closeAll(fs);
});

test("a listed file loses its content, not its name, and is generated again", () => {
  const { fs } = shop({ size: 64 * 4096 });
  using _ = fs;
  list(fs, "/d", ...Array.from({ length: 30 }, (_, n) => `${n}`));
  for (let n = 0; n < 30; n++) {
    const nodeid = fs.node(`/d/${n}`);
    const open = fs.kernel.start("open", nodeid, { flags: 0 });
    fs.content(Buffer.alloc(5 * 4096, String(n % 10)));
    expect(fs.kernel.outcome(open)).toHaveProperty("value");
    closeAll(fs);
  }
  expect(names(fs, "/d")).toHaveLength(30);
  const states = names(fs, "/d").map((name) => {
    const file = fs.tree.resolve(`/d/${name}`, { follow: false });
    return file.kind === "file" ? file.state : "";
  });
  expect(states.filter((state) => state === "ready").length).toBeGreaterThan(5);
  expect(states[0]).toBe("pending");
  const before = fs.requests.length;
  const open = fs.kernel.start("open", fs.node("/d/0"), { flags: 0 });
  expect(fs.requests).toHaveLength(before + 1);
  fs.content("again");
  expect(fs.kernel.outcome(open)).toHaveProperty("value");
  closeAll(fs);
});

test("listed directories are evicted for others, and are listed again", () => {
  const { fs } = shop({ inodes: 100 });
  using _ = fs;
  const shops = Array.from({ length: 20 }, (_, n) => `${n}/`);
  expect(list(fs, "/d", ...shops)).toBe("ok");
  const items = Array.from({ length: 30 }, (_, n) => `item${n}`);
  for (let n = 0; n < 20; n++) {
    expect(list(fs, `/d/${n}`, ...items)).toBe("ok");
    expect(names(fs, `/d/${n}`)).toHaveLength(30);
    fs.node(`/d/${n}/item7`);
  }
  expect(fs.tree.space.usedInodes).toBeLessThanOrEqual(80);
  expect(names(fs, "/d")).toHaveLength(20);
  expect(names(fs, "/d/0")).toEqual([]);
  expect(list(fs, "/d/0", ...items)).toBe("ok");
  expect(names(fs, "/d/0")).toHaveLength(30);
});

test("a listed directory whose mode a user changed stays, but its listed entries can be evicted", () => {
  const { fs } = shop({ inodes: 100 });
  using _ = fs;
  list(fs, "/d", "a/", "b/", "c/");
  for (const name of ["a", "b", "c"]) {
    fs.kernel.call("setattr", fs.node(`/d/${name}`), { valid: 1, mode: 0o700 });
    expect(list(fs, `/d/${name}`, ...Array.from({ length: 40 }, (_, n) => `${n}`))).toBe("ok");
    fs.kernel.call("setattr", fs.node(`/d/${name}`), { valid: 1, mode: 0o755 });
  }
  expect(names(fs, "/d")).toEqual(["a", "b", "c"]);
  expect(names(fs, "/d/a")).toEqual([]);
  expect(names(fs, "/d/c")).toHaveLength(40);
});

test("a listing that can never fit fails and leaves nothing behind", () => {
  const { fs } = shop({ inodes: 100 });
  using _ = fs;
  const used = fs.tree.space.usedInodes;
  expect(list(fs, "/d", ...Array.from({ length: 90 }, (_, n) => `deep/${n}`))).toBe("ENOSPC");
  expect(fs.tree.space.usedInodes).toBe(used);
  expect(list(fs, "/d", "1", "2")).toBe("ok");
  expect(names(fs, "/d")).toEqual(["1", "2"]);
});

test("regenerating contents while the old ones are kept open cannot use up the inodes", () => {
  const { fs } = shop({ inodes: 40 });
  using _ = fs;
  fs.pending("/clock", { "user.llmfs.refresh": "always" });
  const outcomes: string[] = [];
  for (let n = 0; n < 60; n++) {
    const before = fs.requests.length;
    const open = fs.kernel.start("open", fs.node("/clock"), { flags: 0 }, { pid: 100 + n });
    if (fs.requests.length > before) fs.content(`${n}`);
    let outcome = fs.kernel.outcome(open);
    // As open(2) does, look up the name once more.
    if (outcome !== undefined && "error" in outcome && outcome.error === "ESTALE") {
      outcome = fs.kernel.outcome(fs.kernel.start("open", fs.node("/clock"), { flags: 0 }, { pid: 100 + n }));
    }
    outcomes.push(outcome === undefined ? "waits" : "error" in outcome ? outcome.error : "ok");
  }
  expect(outcomes.at(-1)).toBe("ENOSPC");
  for (let n = 0; n < 6; n++) expect(fs.kernel.errno("mkdir", ROOT, { name: `${n}`, mode: 0o755 })).toBe("ok");
  closeAll(fs);
});

test("when space is short, a withdrawn file is dropped without waiting for the kernel to forget it", () => {
  const { fs } = shop({ inodes: 20 });
  using _ = fs;
  find(fs, "first");
  const nodeid = fs.node("/found/first");
  for (let n = 0; n < 40; n++) expect(find(fs, `${n}`)).toBe("ok");
  expect(names(fs, "/found")).not.toContain("first");
  expect(fs.kernel.errno("getattr", nodeid)).toBe("ESTALE");
  fs.kernel.forget(nodeid);
  expect(find(fs, "first")).toBe("ok");
});

test("random lookups, listings, opens, changes, removals and forgets leave all counts correct", () => {
  for (let seed = 1; seed <= 3; seed++) {
    const random = new Random(seed);
    const { fs } = shop({ inodes: 60, size: 40 * 4096 });
    using _ = fs;
    const pick = <T>(all: readonly T[]): T | undefined => all[random.below(all.length)];
    const somewhere = () => pick(["/found", "/d", "/d/a", "/d/b", "/d/c"]) ?? "/found";
    const attempt = (work: () => unknown) => {
      try {
        work();
      } catch (error) {
        // It waits for a generator.
        if (!(error instanceof FsError) && !/was not answered/.test(String(error))) throw error;
      }
    };
    const file = () => {
      const directory = somewhere();
      attempt(() => fs.node(directory));
      let inode: Inode = fs.tree.root;
      for (const part of components(directory)) {
        if (inode.kind !== "directory") return undefined;
        const next: Inode | undefined = inode.get(part)?.inode;
        if (next === undefined) return undefined;
        inode = next;
      }
      const name = inode.kind === "directory" ? pick([...inode.entries()])?.name : undefined;
      return name === undefined ? undefined : { directory, name, path: `${directory}/${name}` };
    };
    const answerAll = () => {
      for (const message of fs.posted.splice(0)) {
        if (message.type === "generate") {
          const { ticket } = message.request;
          if (random.below(5) === 0) fs.failed(pick(["ENOENT", "EIO"]) ?? "EIO", "no", ticket);
          else fs.content(Buffer.alloc(random.below(4) * 4096 + 10), ticket);
        } else if (message.type === "list") {
          const names = ["a/", "b/", "c/", "1", "2", "x/3", "x/4"].filter(() => random.below(3) > 0);
          const entries = names.map((path) => ({
            path: path.replace(/\/$/, ""),
            type: path.endsWith("/") ? ("directory" as const) : ("file" as const),
            generator: "shop",
          }));
          fs.mount.waiters.takeListing(message.request.ticket, { entries, refresh: "always" });
        }
      }
    };
    const steps: readonly (() => void)[] = [
      () => fs.kernel.start("lookup", fs.node("/found"), { name: `${random.below(60)}` }),
      () => fs.kernel.start("opendir", fs.node(somewhere()), {}),
      () => fs.kernel.start("open", fs.node(file()?.path ?? "/found"), { flags: pick([0, 0, 0, 1, 2]) ?? 0 }),
      () => {
        const open = pick([...fs.kernel.handles]);
        if (open !== undefined) fs.kernel.release(open[1], open[0]);
      },
      () => {
        const open = pick([...fs.kernel.handles]);
        if (open !== undefined) fs.write({ nodeid: open[1], fh: open[0] }, Buffer.alloc(random.below(3) * 4096));
      },
      () => {
        const one = file();
        if (one !== undefined) fs.kernel.call("unlink", fs.node(one.directory), { name: one.name });
      },
      () => {
        const one = file();
        const [from, to] = [fs.node(one?.directory ?? "/d"), fs.node(somewhere())];
        fs.kernel.call("rename", from, { name: one?.name ?? "", newdir: to, newname: `moved${random.below(5)}` });
      },
      () => fs.kernel.call("setattr", fs.node(file()?.path ?? "/d"), { valid: 1, mode: 0o700 }),
      () =>
        fs.kernel.call("link", fs.node("/found"), {
          oldnodeid: fs.node(file()?.path ?? "/d"),
          name: `link${random.below(9)}`,
        }),
      () => fs.kernel.call("mkdir", ROOT, { name: `own${random.below(30)}`, mode: 0o755 }),
      () => fs.kernel.call("rmdir", ROOT, { name: `own${random.below(30)}` }),
      () => {
        const known = pick([...fs.kernel.lookups.keys()]);
        if (known !== undefined && ![...fs.kernel.handles.values()].includes(known)) fs.kernel.forget(known);
      },
      () => fs.mount.ruleEntries.balancePages(),
      answerAll,
      answerAll,
    ];
    for (let step = 0; step < 1500; step++) {
      attempt(pick(steps) ?? answerAll);
      fs.mount.dcache.flush();
      if (step % 100 === 0) fs.tree.checkInvariants();
    }
    answerAll();
    closeAll(fs);
    fs.mount.waiters.clear();
    const remove = (directory: Directory) => {
      for (const { name, inode } of [...directory.entries()]) {
        if (inode.kind === "directory") remove(inode);
        if (inode.kind === "directory") fs.tree.rmdir(directory, name);
        else fs.tree.unlink(directory, name);
      }
    };
    remove(fs.tree.root);
    fs.kernel.letGo();
    expect(fs.mount.ruleEntries.size).toBe(0);
    expect(fs.tree.space.usedInodes).toBe(1);
    expect(fs.tree.space.usedPages).toBe(0);
  }
});
