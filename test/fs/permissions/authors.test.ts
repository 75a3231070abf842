/** A mount that several users share: whose settings apply to whose files. */
import { describe, expect, test } from "bun:test";
import type { ErrnoName } from "../../../src/errno.ts";
import { FATTR_GID, FATTR_UID } from "../../../src/fuse/abi.ts";
import type { Inode } from "../../../src/tree/inode.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

const MOUNTER = 1500;
const ALICE = 1000;
const BOB = 1001;

const EXCHANGE = 2;

const shared = () => served({ sharedBy: MOUNTER });

function owned<T extends Inode>(inode: T, uid: number, mode = inode.mode & 0o7777): T {
  inode.setOwner({ uid: uid });
  inode.setMode((inode.mode & ~0o7777) | mode);
  return inode;
}

function set(fs: ServedTree, path: string, name: string, value: string, uid: number): ErrnoName | "ok" {
  const bytes = Buffer.from(value);
  const request = { name: `user.llmfs.${name}`, value: bytes, size: bytes.length };
  return fs.kernel.errno("setxattr", fs.node(path), request, { uid });
}

function remove(fs: ServedTree, path: string, name: string, uid: number): ErrnoName | "ok" {
  return fs.kernel.errno("removexattr", fs.node(path), { name: `user.llmfs.${name}` }, { uid });
}

function get(fs: ServedTree, path: string, name: string): string | undefined {
  return fs.mount.tree.resolve(path, { follow: false }).xattrs?.get(`user.llmfs.${name}`)?.toString();
}

/** The request that is made when the file is opened. */
function asked(fs: ServedTree, path: string) {
  fs.kernel.start("open", fs.node(path), { flags: 0 });
  const request = fs.requests.at(-1);
  if (request === undefined) throw new Error(`${path}: nothing is asked`);
  return request;
}

describe("attributes", () => {
  /** The outcome for each caller: the user who mounted, root, the file's owner, and another user who may write. */
  const table: readonly (readonly [name: string, value: string, on: "file" | "directory", outcomes: string])[] = [
    ["origin", "/reports/1.csv", "file", "EPERM EPERM EPERM EPERM"],
    ["origin", "/reports", "directory", "EPERM EPERM EPERM EPERM"],
    ["generator", "sql", "file", "ok ok EPERM EPERM"],
    ["generator", "llm", "file", "ok ok ok EPERM"],
    ["generator", "static", "file", "ok ok ok EPERM"],
    ["generator", "sql", "directory", "ok ok EPERM EPERM"],
    ["generator", "llm", "directory", "ok ok EPERM EPERM"],
    ["refresh", "always", "file", "ok ok EPERM EPERM"],
    ["refresh", "300s", "directory", "ok ok EPERM EPERM"],
    ["prompt", "a poem", "file", "ok ok ok EPERM"],
    ["prompt", "poems", "directory", "ok ok ok EPERM"],
    ["depends", "other", "file", "ok ok ok EPERM"],
    ["model", "m", "file", "ok ok ok EPERM"],
    ["model", "m", "directory", "ok ok ok EPERM"],
    ["temperature", "1", "file", "ok ok ok EPERM"],
    ["max-tokens", "5", "file", "ok ok ok EPERM"],
    ["description", "a poem", "file", "ok ok ok EPERM"],
    ["meta.request", "abc", "file", "ok ok ok EPERM"],
    ["state", "pending", "file", "ok ok ok EPERM"],
    ["state", "static", "file", "ok ok ok ok"],
    ["error", "none", "file", "EPERM EPERM EPERM EPERM"],
  ];

  for (const [name, value, on, outcomes] of table) {
    test(`${name}=${value} on a ${on}: ${outcomes}`, () => {
      const found = [MOUNTER, 0, ALICE, BOB].map((uid) => {
        using fs = shared();
        owned(on === "file" ? fs.file("/it") : fs.directory("/it"), ALICE);
        return set(fs, "/it", name, value, uid);
      });
      expect(found.join(" ")).toBe(outcomes);
    });
  }

  test("attributes without a meaning for llmfs may be set by anyone who may write to the file", () => {
    using fs = shared();
    owned(fs.file("/it"), ALICE);
    const request = { name: "user.origin", value: Buffer.from("x"), size: 1 };
    expect(fs.kernel.errno("setxattr", fs.node("/it"), request, { uid: BOB })).toBe("ok");
  });

  test("an attribute that a user may not set may not be removed by that user", () => {
    const found = [ALICE, BOB, MOUNTER].map((uid) => {
      using fs = shared();
      const file = owned(fs.pending("/it", { "user.llmfs.prompt": "p", "user.llmfs.model": "m" }), ALICE);
      for (const name of ["origin", "generator", "refresh"]) setXattr(file, `user.llmfs.${name}`, Buffer.from("5m"));
      return ["origin", "generator", "refresh", "model"].map((name) => remove(fs, "/it", name, uid));
    });
    expect(found).toEqual([
      ["EPERM", "ok", "EPERM", "ok"],
      ["EPERM", "EPERM", "EPERM", "EPERM"],
      ["ok", "ok", "ok", "ok"],
    ]);
  });

  test("an origin is kept when users copy their own file, but cannot be set on other users' files", () => {
    const found = [MOUNTER, 0, ALICE].map((uid) => {
      using fs = shared();
      fs.pending("/made", { "user.llmfs.origin": "/reports/1.csv" });
      owned(fs.file("/copy"), ALICE);
      const before = set(fs, "/copy", "origin", "/reports/1.csv", uid);
      fs.kernel.call("getxattr", fs.node("/made"), { name: "user.llmfs.origin", size: 100 }, { uid });
      const other = set(fs, "/copy", "origin", "/reports/2.csv", uid);
      return [before, other, set(fs, "/copy", "origin", "/reports/1.csv", uid)];
    });
    expect(found).toEqual([
      ["EPERM", "EPERM", "ok"],
      ["EPERM", "EPERM", "ok"],
      ["EPERM", "EPERM", "EPERM"],
    ]);
  });

  test("on a mount that no other user can enter, the user who mounted sets everything but the origin", () => {
    for (const [name, value, on, outcomes] of table) {
      using fs = served();
      owned(on === "file" ? fs.file("/it") : fs.directory("/it"), ALICE);
      expect([name, set(fs, "/it", name, value, BOB)]).toEqual([name, outcomes.split(" ")[0] ?? ""]);
    }
  });
});

describe("regenerating a file", () => {
  /** For a file that belongs to Alice. */
  function wish(value: string, uid: number, state: "ready" | "static"): string {
    using fs = shared();
    const file = owned(fs.file("/it", "text"), ALICE, 0o666);
    file.state = state;
    const outcome = set(fs, "/it", "regen", value, uid);
    fs.kernel.start("open", fs.node("/it"), { flags: 0 }, { uid });
    return `${outcome} ${fs.requests.length}`;
  }

  test("everyone who may write to a file may regenerate it", () => {
    expect([wish("again", ALICE, "ready"), wish("again", BOB, "ready"), wish("again", MOUNTER, "ready")]).toEqual([
      "ok 1",
      "ok 1",
      "ok 1",
    ]);
  });

  test("only the owner may regenerate a file with another prompt, or over edited content", () => {
    expect([wish("again:in verse", ALICE, "ready"), wish("again:in verse", BOB, "ready")]).toEqual(["ok 1", "EPERM 0"]);
    expect(wish("again:in verse", MOUNTER, "ready")).toBe("ok 1");
    expect(wish("again", BOB, "static")).toBe("EPERM 0");
  });
});

describe("the request for content", () => {
  test("the request for content names the owner of a file that belongs to another user", () => {
    using fs = shared();
    owned(fs.pending("/alice"), ALICE);
    owned(fs.pending("/root"), 0);
    owned(fs.pending("/mounter"), MOUNTER);
    expect(["/alice", "/root", "/mounter"].map((path) => asked(fs, path).viewer)).toEqual([
      ALICE,
      undefined,
      undefined,
    ]);
  });

  test("the request for content names no owner on a mount that no other user can enter", () => {
    using fs = served();
    owned(fs.pending("/alice"), ALICE);
    expect("viewer" in asked(fs, "/alice")).toBe(false);
  });

  test("the request for content does not depend on who opens the file", () => {
    using fs = shared();
    owned(fs.pending("/alice"), ALICE);
    fs.kernel.start("open", fs.node("/alice"), { flags: 0 }, { uid: BOB });
    expect(fs.requests.map(({ viewer }) => viewer)).toEqual([ALICE]);
  });

  function directories(fs: ServedTree, owners: readonly (readonly [uid: number, mode: number])[]): string {
    let path = "";
    for (const [uid, mode] of owners) {
      path += `/${uid}`;
      const directory = owned(fs.directory(path), uid, mode);
      for (const name of ["prompt", "model"]) setXattr(directory, `user.llmfs.${name}`, Buffer.from(`by ${uid}`));
      setXattr(directory, "user.llmfs.temperature", Buffer.from(`0.${uid}`));
    }
    return path;
  }

  test("the request for content contains prompts of directories that belong to the file's owner or to the user who mounted", () => {
    using fs = shared();
    const path = directories(fs, [
      [MOUNTER, 0o755],
      [ALICE, 0o755],
      [BOB, 0o755],
    ]);
    owned(fs.pending(`${path}/alice`), ALICE);
    owned(fs.pending(`${path}/mounter`), MOUNTER);
    owned(fs.pending(`${path}/bob`), BOB);
    const of = (name: string) => {
      const { prompts, model, settings } = asked(fs, `${path}/${name}`);
      return { prompts, model, temperature: settings?.get("user.llmfs.temperature") };
    };
    const mounter = `by ${MOUNTER}`;
    expect(of("alice")).toEqual({
      prompts: [mounter, `by ${ALICE}`],
      model: `by ${ALICE}`,
      temperature: `0.${ALICE}`,
    });
    expect(of("mounter")).toEqual({ prompts: [mounter], model: mounter, temperature: `0.${MOUNTER}` });
    expect(of("bob")).toEqual({ prompts: [mounter, `by ${BOB}`], model: `by ${BOB}`, temperature: `0.${BOB}` });
  });

  test("the request for content leaves out prompts of directories that the owner may not read", () => {
    for (const [mode, seen] of [
      [0o700, false],
      [0o711, false],
      [0o744, true],
      [0o755, true],
    ] as const) {
      using fs = shared();
      const path = directories(fs, [[MOUNTER, mode]]);
      owned(fs.pending(`${path}/alice`), ALICE);
      const { prompts, model, settings } = asked(fs, `${path}/alice`);
      const text = [...prompts, model, settings?.size];
      expect([mode, text]).toEqual([mode, seen ? [`by ${MOUNTER}`, `by ${MOUNTER}`, 2] : [undefined, 0]]);
    }
  });

  test("the request for content uses the first of a file's names that the owner can reach", () => {
    using fs = shared();
    const file = owned(fs.pending("/open/it"), ALICE);
    const closed = owned(fs.directory("/a"), MOUNTER, 0o700);
    fs.mount.tree.link(file, closed, "secret");
    expect(asked(fs, "/open/it").path).toBe("/open/it");
    file.setOwner({ uid: 0 });
    fs.mount.waiters.clear();
    expect(asked(fs, "/open/it").path).toBe("/a/secret");
  });

  test("the request for content contains no prompts when the owner cannot reach the directory", () => {
    using fs = shared();
    const path = directories(fs, [
      [0, 0o755],
      [MOUNTER, 0o700],
      [ALICE, 0o755],
    ]);
    owned(fs.pending(`${path}/alice`), ALICE);
    expect(asked(fs, `${path}/alice`).prompts).toEqual(["by 0"]);
  });
});

describe("a file whose owner changes", () => {
  const give = (fs: ServedTree, path: string, uid: number) =>
    fs.kernel.call("setattr", fs.node(path), { valid: FATTR_UID | FATTR_GID, uid, gid: uid });

  test("a file whose owner changes is composed for its new owner", () => {
    using fs = shared();
    fs.pending("/it");
    give(fs, "/it", ALICE);
    expect(asked(fs, "/it").viewer).toBe(ALICE);
  });

  test("a file whose owner changes during generation is generated again, and its readers get the second content", () => {
    using fs = shared();
    fs.pending("/it");
    const open = fs.kernel.start("open", fs.node("/it"), { flags: 0 });
    give(fs, "/it", ALICE);
    fs.content("for root");
    expect(fs.kernel.outcome(open)).toBeUndefined();
    expect(fs.requests.map(({ viewer }) => viewer)).toEqual([undefined, ALICE]);
    fs.content("for alice");
    const outcome = fs.kernel.outcome<"open">(open);
    if (outcome === undefined || "error" in outcome) throw new Error("it is not open");
    expect(fs.kernel.readAll(fs.node("/it"), outcome.value.fh).toString()).toBe("for alice");
  });

  test("a file whose owner changes during generation becomes pending if no reader is left waiting", () => {
    using fs = shared();
    const file = fs.pending("/it");
    const open = fs.kernel.start("open", fs.node("/it"), { flags: 0 });
    give(fs, "/it", ALICE);
    fs.kernel.interrupt(open);
    fs.content("for root");
    expect([file.state, fs.requests.length, fs.mount.waiters.get(1)]).toEqual(["pending", 1, undefined]);
  });

  test("a file whose owner changes loses its previous content, which was generated for its previous owner", () => {
    for (const [sharedBy, outcome] of [
      [MOUNTER, "ENODATA"],
      [undefined, "ok"],
    ] as const) {
      using fs = served(sharedBy === undefined ? {} : { sharedBy });
      fs.file("/it", "secret").state = "ready";
      set(fs, "/it", "regen", "again", 0);
      fs.kernel.start("open", fs.node("/it"), { flags: 0 });
      fs.content("harmless");
      give(fs, "/it", ALICE);
      expect(set(fs, "/it", "regen", "undo", ALICE)).toBe(outcome);
    }
  });

  test("a file whose owner changes during regeneration keeps the content it has", () => {
    using fs = shared();
    const file = fs.file("/it", "old");
    file.state = "ready";
    set(fs, "/it", "regen", "again", 0);
    const open = fs.kernel.start("open", fs.node("/it"), { flags: 0 });
    give(fs, "/it", ALICE);
    fs.content("for root");
    expect(fs.kernel.outcome<"open">(open)).toEqual({ error: "EBUSY" });
    expect(Buffer.from(file.bytes()).toString()).toBe("old");
  });
});

describe("a rule's file that other users rename", () => {
  /** The origin that the file has at the end. */
  function origin(change: (fs: ServedTree) => void, owner = MOUNTER, state: "pending" | "static" = "pending") {
    using fs = shared();
    const file = owned(fs.pending("/d/it"), owner);
    file.state = state;
    fs.file("/other");
    fs.directory("/reports");
    change(fs);
    return file.xattrs?.get("user.llmfs.origin")?.toString();
  }
  const rename =
    (uid: number, from: string, to: string, flags = 0) =>
    (fs: ServedTree) => {
      const [source, name] = split(from);
      const [target, newname] = split(to);
      const node = (path: string) => (path === "/" ? ROOT : fs.node(path));
      fs.kernel.call("rename2", node(source), { name, newname, newdir: node(target), flags }, { uid });
    };
  const split = (path: string): readonly [directory: string, name: string] => {
    const at = path.lastIndexOf("/");
    return [path.slice(0, at) || "/", path.slice(at + 1)];
  };

  test("a rule's file keeps its origin when other users rename it", () => {
    expect([
      origin(rename(BOB, "/d/it", "/reports/it")),
      origin(rename(BOB, "/d", "/reports/d")),
      origin(rename(BOB, "/other", "/d/it", EXCHANGE)),
      origin((fs) => fs.kernel.call("link", ROOT, { oldnodeid: fs.node("/d/it"), name: "a" }, { uid: BOB })),
    ]).toEqual(["/d/it", "/d/it", "/d/it", "/d/it"]);
  });

  test("a rule's file takes the origin of its new name when the user who mounted, or root, renames it", () => {
    expect([origin(rename(MOUNTER, "/d/it", "/reports/it")), origin(rename(0, "/d/it", "/reports/it"))]).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("other users' files, and static files, never take the origin of a rule", () => {
    expect([
      origin(rename(BOB, "/d/it", "/reports/it"), ALICE),
      origin(rename(BOB, "/d/it", "/reports/it"), MOUNTER, "static"),
    ]).toEqual([undefined, undefined]);
  });

  test("a rule's file keeps its origin if the rename fails", () => {
    using fs = shared();
    owned(fs.pending("/d/it"), MOUNTER);
    fs.file("/reports/full");
    const request = { name: "d", newname: "reports", newdir: ROOT, flags: 0 };
    expect(fs.kernel.errno("rename2", ROOT, request, { uid: BOB })).toBe("ENOTEMPTY");
    expect(get(fs, "/d/it", "origin")).toBeUndefined();
  });
});

describe("names that match a rule", () => {
  const NAMED = { named: [{ match: "{place}/{id}.json", generator: "mine" }], listing: true };

  function lookup(fs: ServedTree, path: string): readonly string[] {
    const at = path.lastIndexOf("/");
    fs.kernel.start("lookup", fs.node(path.slice(0, at)), { name: path.slice(at + 1) });
    return fs.requests.map((request) => request.file.xattrs.get("user.llmfs.origin") ?? "");
  }

  test("names that match a rule are looked up in directories of the user who mounted, or of root", () => {
    using fs = served({ ...NAMED, sharedBy: MOUNTER });
    owned(fs.directory("/alice"), ALICE);
    owned(fs.directory("/mounter"), MOUNTER);
    fs.directory("/root");
    expect(lookup(fs, "/alice/1.json")).toEqual([]);
    expect(lookup(fs, "/mounter/1.json")).toEqual(["/mounter/1.json"]);
    expect(lookup(fs, "/root/1.json")).toEqual(["/mounter/1.json", "/root/1.json"]);
  });

  test("names that match a rule are looked up in any directory on a mount that no other user can enter", () => {
    using fs = served(NAMED);
    owned(fs.directory("/alice"), ALICE);
    expect(lookup(fs, "/alice/1.json")).toEqual(["/alice/1.json"]);
  });

  test("names that match a rule stay with the directory when other users rename it or one of its parents", () => {
    using fs = served({ ...NAMED, named: [{ match: "**/{id}.json", generator: "mine" }], sharedBy: MOUNTER });
    owned(fs.directory("/a"), ALICE);
    owned(fs.directory("/a/public"), MOUNTER);
    fs.directory("/a/public/below");
    fs.kernel.call("rename", ROOT, { name: "a", newname: "b", newdir: ROOT }, { uid: ALICE });
    expect(lookup(fs, "/b/public/1.json")).toEqual(["/a/public/1.json"]);
    expect(lookup(fs, "/b/public/below/2.json").at(-1)).toBe("/a/public/below/2.json");
    // Other users' renames do not change that; a rename by the user who mounted does.
    fs.kernel.call("rename", ROOT, { name: "b", newname: "c", newdir: ROOT }, { uid: 0 });
    expect(remove(fs, "/c/public", "origin", ALICE)).toBe("EPERM");
    expect(remove(fs, "/c/public", "origin", MOUNTER)).toBe("ok");
    expect(lookup(fs, "/c/public/3.json").at(-1)).toBe("/c/public/3.json");
  });

  test("names that match a rule stay with a directory that a generator lists, too", () => {
    using fs = served({ listing: true, sharedBy: MOUNTER });
    setXattr(owned(fs.directory("/alices"), ALICE), "user.llmfs.generator", Buffer.from("mine"));
    fs.kernel.call("rename", ROOT, { name: "alices", newname: "others", newdir: ROOT }, { uid: ALICE });
    fs.kernel.start("opendir", fs.kernel.walk("/others").nodeid, {});
    expect(fs.posted.flatMap((one) => (one.type === "list" ? [[one.request.path, one.request.viewer]] : []))).toEqual([
      ["/alices", ALICE],
    ]);
  });
});

test("the control files belong to the user who mounted, even if the tree belongs to somebody else", () => {
  using fs = served({ control: () => ({ it: () => ({ read: () => 0 }) }), sharedBy: MOUNTER });
  const { directory } = fs.mount.control;
  const all = [directory, ...[...(directory?.entries() ?? [])].map(({ inode }) => inode)];
  expect(all.map((inode) => [inode?.uid, (inode?.mode ?? 0) & 0o777])).toEqual([
    [MOUNTER, 0o500],
    [MOUNTER, 0o400],
  ]);
});
