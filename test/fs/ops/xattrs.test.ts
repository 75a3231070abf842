/** Extended attributes: setxattr(2) and its relatives, and what `user.llmfs.*` means. */
import { describe, expect, test } from "bun:test";
import { type ErrnoName, FsError } from "../../../src/errno.ts";
import { CLAIMED_SIZE } from "../../../src/fs/ops/attributes.ts";
import { S_IFIFO } from "../../../src/tree/inode.ts";
import { XATTR_CREATE, XATTR_REPLACE } from "../../../src/tree/xattrs.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

function set(fs: ServedTree, nodeid: number, name: string, value: string | Uint8Array, flags = 0): ErrnoName | "ok" {
  const bytes = Buffer.from(value as Uint8Array);
  return fs.kernel.errno("setxattr", nodeid, { name, value: bytes, size: bytes.length, flags });
}

/** The value as text, or the errno. */
function get(fs: ServedTree, nodeid: number, name: string, size = 65536): string {
  try {
    return fs.kernel.call("getxattr", nodeid, { name, size }).toString("latin1");
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

function list(fs: ServedTree, nodeid: number, uid = 0): string[] {
  const bytes = fs.kernel.call("listxattr", nodeid, { size: 65536 }, { uid });
  return bytes.toString("latin1").split("\0").slice(0, -1);
}

function file(fs: ServedTree, content = ""): number {
  fs.file("/file", content);
  return fs.node("/file");
}

describe("setxattr, getxattr, listxattr, removexattr", () => {
  test("a value is returned byte for byte as it was set", () => {
    using fs = served();
    const nodeid = file(fs);
    const value = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    expect(set(fs, nodeid, "user.bytes", value)).toBe("ok");
    expect(fs.kernel.call("getxattr", nodeid, { name: "user.bytes", size: 256 })).toEqual(value);
  });

  test("the value is a copy, independent of the request's buffer", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, "user.a", "first");
    set(fs, nodeid, "user.b", "XXXXXXXXXXXX");
    expect(get(fs, nodeid, "user.a")).toBe("first");
  });

  test("an empty value can be set", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, "user.empty", "");
    expect(get(fs, nodeid, "user.empty")).toBe("");
    expect(list(fs, nodeid)).toEqual(["user.empty"]);
  });

  test("names are bytes", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, "user.\xff\x01", "x");
    expect(list(fs, nodeid)).toEqual(["user.\xff\x01"]);
    expect(get(fs, nodeid, "user.\xff\x01")).toBe("x");
  });

  test("a missing attribute is ENODATA", () => {
    using fs = served();
    const nodeid = file(fs);
    expect(get(fs, nodeid, "user.none")).toBe("ENODATA");
    expect(fs.kernel.errno("removexattr", nodeid, { name: "user.none" })).toBe("ENODATA");
  });

  test("a missing SELinux label is reported as unsupported, until somebody sets one", () => {
    using fs = served();
    const nodeid = file(fs);
    expect(get(fs, nodeid, "security.selinux")).toBe("EOPNOTSUPP");
    expect(set(fs, nodeid, "security.selinux", "label")).toBe("ok");
    expect(get(fs, nodeid, "security.selinux")).toBe("label");
  });

  test("size 0 returns the size of the value", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, "user.a", "hello");
    expect(fs.kernel.call("getxattr", nodeid, { name: "user.a", size: 0 }).readUInt32LE(0)).toBe(5);
    expect(fs.kernel.call("listxattr", nodeid, { size: 0 }).readUInt32LE(0)).toBe("user.a".length + 1);
  });

  test("a buffer that is too small is ERANGE; one of the exact size is enough", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, "user.a", "hello");
    expect([4, 5].map((size) => get(fs, nodeid, "user.a", size))).toEqual(["ERANGE", "hello"]);
    expect([6, 7].map((size) => fs.kernel.errno("listxattr", nodeid, { size }))).toEqual(["ERANGE", "ok"]);
  });

  test("XATTR_CREATE requires that the attribute is missing, XATTR_REPLACE that it exists", () => {
    using fs = served();
    const nodeid = file(fs);
    expect(set(fs, nodeid, "user.a", "1", XATTR_REPLACE)).toBe("ENODATA");
    expect(set(fs, nodeid, "user.a", "1", XATTR_CREATE)).toBe("ok");
    expect(set(fs, nodeid, "user.a", "2", XATTR_CREATE)).toBe("EEXIST");
    expect(get(fs, nodeid, "user.a")).toBe("1");
    expect(set(fs, nodeid, "user.a", "3", XATTR_REPLACE)).toBe("ok");
    expect(get(fs, nodeid, "user.a")).toBe("3");
  });

  test("a name of 255 bytes is accepted, one of 256 is ERANGE", () => {
    using fs = served();
    const nodeid = file(fs);
    expect(set(fs, nodeid, `user.${"n".repeat(250)}`, "x")).toBe("ok");
    expect(set(fs, nodeid, `user.${"n".repeat(251)}`, "x")).toBe("ERANGE");
  });

  test("a value of 64 KiB is accepted, one byte more is E2BIG", () => {
    using fs = served();
    const nodeid = file(fs);
    expect(set(fs, nodeid, "user.big", Buffer.alloc(65536, "x"))).toBe("ok");
    expect(get(fs, nodeid, "user.big")).toHaveLength(65536);
    expect(set(fs, nodeid, "user.big", Buffer.alloc(65537))).toBe("E2BIG");
  });

  test("only user, trusted and security are namespaces, and each requires a name after it", () => {
    using fs = served();
    const nodeid = file(fs);
    for (const name of ["trusted.a", "security.b"]) expect(set(fs, nodeid, name, "x")).toBe("ok");
    for (const name of ["system.a", "other", "User.a", ""]) {
      expect(set(fs, nodeid, name, "x")).toBe("EOPNOTSUPP");
      expect(get(fs, nodeid, name)).toBe("EOPNOTSUPP");
      expect(fs.kernel.errno("removexattr", nodeid, { name })).toBe("EOPNOTSUPP");
    }
    expect(set(fs, nodeid, "user.", "x")).toBe("EINVAL");
  });

  test("names are listed in byte order, trusted ones only for root", () => {
    using fs = served();
    const nodeid = file(fs);
    for (const name of ["user.b", "user.a", "trusted.z", "security.c"]) set(fs, nodeid, name, "x");
    expect(list(fs, nodeid)).toEqual(["security.c", "trusted.z", "user.a", "user.b"]);
    expect(list(fs, nodeid, 1000)).toEqual(["security.c", "user.a", "user.b"]);
  });

  test("directories, symlinks and fifos have attributes too", () => {
    using fs = served();
    const link = fs.kernel.call("symlink", ROOT, { name: "link", target: "x" });
    const fifo = fs.kernel.call("mknod", ROOT, { name: "fifo", mode: S_IFIFO });
    for (const nodeid of [ROOT, link.nodeid, fifo.nodeid]) {
      expect(set(fs, nodeid, "trusted.a", "x")).toBe("ok");
      expect(get(fs, nodeid, "trusted.a")).toBe("x");
    }
  });

  test("attributes belong to the inode: all its names show them, and a rename keeps them", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, "user.a", "x");
    fs.kernel.call("link", ROOT, { oldnodeid: nodeid, name: "twin" });
    fs.kernel.call("rename", ROOT, { name: "file", newname: "other", newdir: ROOT });
    expect([get(fs, fs.node("/twin"), "user.a"), get(fs, fs.node("/other"), "user.a")]).toEqual(["x", "x"]);
  });

  test("setting and removing change the ctime; failed attempts do not", () => {
    using fs = served();
    const nodeid = file(fs);
    const before = fs.kernel.stat(nodeid);
    fs.clock.tick();
    set(fs, nodeid, "user.a", "x", XATTR_REPLACE);
    expect(fs.kernel.stat(nodeid)).toEqual(before);
    set(fs, nodeid, "user.a", "x");
    expect(fs.kernel.stat(nodeid)).toMatchObject({ ctime: fs.clock.seconds, mtime: before.mtime });
    fs.clock.tick();
    fs.kernel.call("removexattr", nodeid, { name: "user.a" });
    expect(fs.kernel.stat(nodeid).ctime).toBe(fs.clock.seconds);
  });

  test("a request whose value is shorter than announced is EIO, and sets nothing", () => {
    using fs = served();
    const nodeid = file(fs);
    const request = { name: "user.a", value: Buffer.from("xyz"), size: 10 };
    expect(fs.kernel.errno("setxattr", nodeid, request)).toBe("EIO");
    expect(list(fs, nodeid)).toEqual([]);
  });
});

const STATE = "user.llmfs.state";
const PROMPT = "user.llmfs.prompt";
const GENERATOR = "user.llmfs.generator";

describe("user.llmfs.state", () => {
  test("user.llmfs.state can be read on every file, and is listed only on files that are not static", () => {
    using fs = served();
    const plain = file(fs, "hello");
    fs.pending("/poem");
    expect(get(fs, plain, STATE)).toBe("static");
    expect(list(fs, plain)).toEqual([]);
    expect(get(fs, fs.node("/poem"), STATE)).toBe("pending");
    expect(list(fs, fs.node("/poem"))).toEqual([STATE]);
  });

  test("user.llmfs.state cannot be read on a directory", () => {
    using fs = served();
    expect(get(fs, ROOT, STATE)).toBe("ENODATA");
  });

  test("user.llmfs.state set to pending makes an empty file pending", () => {
    using fs = served();
    const nodeid = file(fs);
    expect(set(fs, nodeid, STATE, "pending")).toBe("ok");
    expect(get(fs, nodeid, STATE)).toBe("pending");
    expect(fs.kernel.stat(nodeid).size).toBe(CLAIMED_SIZE);
    expect(fs.kernel.notifications).toContainEqual({ code: "inval inode", nodeid, off: -1, len: 0 });
  });

  test("user.llmfs.state cannot be set to pending on a file that holds bytes", () => {
    using fs = served();
    const nodeid = file(fs, "hello");
    expect(set(fs, nodeid, STATE, "pending")).toBe("EINVAL");
    expect(fs.cat("/file")).toBe("hello");
  });

  test("user.llmfs.state set to pending on a failed file clears the failure", () => {
    using fs = served();
    const poem = fs.pending("/poem");
    const nodeid = fs.node("/poem");
    fs.kernel.start("open", nodeid, {});
    fs.failed("EIO", "ill");
    expect(set(fs, nodeid, STATE, "pending")).toBe("ok");
    expect([poem.state, poem.error]).toEqual(["pending", undefined]);
    expect(list(fs, nodeid)).toEqual([STATE]);
  });

  test("user.llmfs.state set to pending during generation changes nothing", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    const unique = fs.kernel.start("open", nodeid, {});
    expect(set(fs, nodeid, STATE, "pending")).toBe("ok");
    expect(get(fs, nodeid, STATE)).toBe("generating");
    fs.content("roses");
    expect(fs.kernel.outcome(unique)).toHaveProperty("value");
  });

  test("user.llmfs.state set to static on a pending file makes it empty for good", () => {
    using fs = served();
    fs.pending("/poem");
    expect(set(fs, fs.node("/poem"), STATE, "static")).toBe("ok");
    expect(fs.cat("/poem")).toBe("");
    expect(fs.posted).toEqual([]);
  });

  test("user.llmfs.state set to static during generation cancels it, and readers get an empty file", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    const unique = fs.kernel.start("open", nodeid, {});
    set(fs, nodeid, STATE, "static");
    expect(fs.cancelled).toEqual([fs.ticket]);
    expect(fs.kernel.outcome(unique)).toHaveProperty("value");
  });

  test("user.llmfs.state set to ready or static is accepted on a file with bytes, so that copies can carry it", () => {
    using fs = served();
    const nodeid = file(fs, "hello");
    expect(set(fs, nodeid, STATE, "ready")).toBe("ok");
    expect(list(fs, nodeid)).toEqual([STATE]);
    expect(set(fs, nodeid, STATE, "static")).toBe("ok");
    expect(list(fs, nodeid)).toEqual([]);
    expect(fs.cat("/file")).toBe("hello");
  });

  test("user.llmfs.state set to ready on a pending file, or to any other word, is EINVAL", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    for (const word of ["ready", "generating", "failed", "", "PENDING", "pending\0"]) {
      expect(set(fs, nodeid, STATE, word)).toBe("EINVAL");
    }
    expect(get(fs, nodeid, STATE)).toBe("pending");
  });

  test("user.llmfs.state can't be removed", () => {
    using fs = served();
    expect(fs.kernel.errno("removexattr", file(fs), { name: STATE })).toBe("EPERM");
  });
});

describe("user.llmfs.error", () => {
  test("user.llmfs.error exists on failed files only, and can be neither set nor removed", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    expect(get(fs, nodeid, "user.llmfs.error")).toBe("ENODATA");
    fs.kernel.start("open", nodeid, {});
    fs.failed("EACCES", "the key was refused");
    expect(get(fs, nodeid, "user.llmfs.error")).toBe("EACCES: the key was refused");
    expect(list(fs, nodeid)).toEqual(["user.llmfs.error", STATE]);
    expect(set(fs, nodeid, "user.llmfs.error", "none")).toBe("EPERM");
    expect(fs.kernel.errno("removexattr", nodeid, { name: "user.llmfs.error" })).toBe("EPERM");
  });

  test("user.llmfs.error returns ERANGE if a long reason does not fit, as for any value", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    fs.kernel.start("open", nodeid, {});
    fs.failed("EIO", "x".repeat(200));
    expect(get(fs, nodeid, "user.llmfs.error", 100)).toBe("ERANGE");
  });

  test("user.llmfs.error returns a reason of any length", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    fs.kernel.start("open", nodeid, {});
    fs.failed("EIO", "x".repeat(100_000));
    expect(get(fs, nodeid, "user.llmfs.error", 65536)).toStartWith("EIO: xxx");
  });
});

describe("user.llmfs.prompt and user.llmfs.generator", () => {
  for (const name of [PROMPT, GENERATOR]) {
    test(`${name} makes an empty file pending`, () => {
      using fs = served();
      const nodeid = file(fs);
      expect(set(fs, nodeid, name, "something")).toBe("ok");
      expect([get(fs, nodeid, STATE), get(fs, nodeid, name)]).toEqual(["pending", "something"]);
    });

    test(`${name} does not change the state of a file that holds bytes`, () => {
      using fs = served();
      const nodeid = file(fs, "hello");
      set(fs, nodeid, name, "something");
      expect(get(fs, nodeid, STATE)).toBe("static");
      expect(fs.cat("/file")).toBe("hello");
    });

    test(`${name} on a directory is plain data`, () => {
      using fs = served();
      expect(set(fs, ROOT, name, "something")).toBe("ok");
      expect(get(fs, ROOT, name)).toBe("something");
    });

    test(`removing ${name} when nothing else defines the content leaves an empty file`, () => {
      using fs = served();
      const nodeid = file(fs);
      set(fs, nodeid, name, "something");
      fs.kernel.call("removexattr", nodeid, { name });
      expect(get(fs, nodeid, STATE)).toBe("static");
      expect(fs.kernel.stat(nodeid).size).toBe(0);
    });
  }

  test("removing one of the two leaves the file pending", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, PROMPT, "a poem");
    set(fs, nodeid, GENERATOR, "llm");
    fs.kernel.call("removexattr", nodeid, { name: PROMPT });
    expect(get(fs, nodeid, STATE)).toBe("pending");
  });

  test("removing them from a generated file changes nothing", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, PROMPT, "a poem");
    fs.kernel.start("open", nodeid, {});
    fs.content("roses");
    fs.kernel.call("removexattr", nodeid, { name: PROMPT });
    expect([get(fs, nodeid, STATE), fs.cat("/file")]).toEqual(["ready", "roses"]);
  });

  test('the generator "static" generates nothing', () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, PROMPT, "a poem");
    set(fs, nodeid, GENERATOR, "static");
    expect(get(fs, nodeid, STATE)).toBe("static");
  });

  test("a failed attempt to set one does not change the state", () => {
    using fs = served();
    const nodeid = file(fs);
    expect(set(fs, nodeid, PROMPT, "a poem", XATTR_REPLACE)).toBe("ENODATA");
    expect(set(fs, nodeid, PROMPT, "x".repeat(70_000))).toBe("E2BIG");
    expect(get(fs, nodeid, STATE)).toBe("static");
  });

  test("user.llmfs.description is plain data", () => {
    using fs = served();
    const nodeid = file(fs);
    set(fs, nodeid, "user.llmfs.description", "a poem");
    expect(get(fs, nodeid, STATE)).toBe("static");
  });
});

describe("the limit of inodes", () => {
  const free = (fs: ServedTree) => fs.kernel.call("statfs", ROOT, {}).ffree;

  test("each kilobyte of attributes counts as an inode", () => {
    using fs = served({ inodes: 40 });
    fs.file("/file", "");
    const nodeid = fs.node("/file");
    expect(free(fs)).toBe(38);
    expect(set(fs, nodeid, "user.a", Buffer.alloc(10_000))).toBe("ok");
    expect(free(fs)).toBe(28);
    expect(set(fs, nodeid, "user.a", Buffer.alloc(20_000))).toBe("ok");
    expect(set(fs, nodeid, "trusted.b", Buffer.alloc(0))).toBe("ok");
    expect(free(fs)).toBe(18);
    expect(set(fs, nodeid, "user.c", Buffer.alloc(20_000))).toBe("ENOSPC");
    fs.kernel.call("removexattr", nodeid, { name: "user.a" });
    expect(free(fs)).toBe(37);
  });

  test("removing a file frees the inodes of its attributes", () => {
    using fs = served({ inodes: 40 });
    fs.file("/file", "");
    const nodeid = fs.node("/file");
    expect(set(fs, nodeid, "user.a", Buffer.alloc(10_000))).toBe("ok");
    fs.kernel.call("unlink", ROOT, { name: "file" });
    fs.kernel.forget(nodeid);
    expect(free(fs)).toBe(39);
  });

  test("the limit of inodes holds if attributes use all inodes", () => {
    using fs = served({ inodes: 12 });
    fs.file("/file", "");
    expect(set(fs, fs.node("/file"), "user.a", Buffer.alloc(10_000))).toBe("ok");
    expect(fs.kernel.errno("mkdir", ROOT, { name: "directory", mode: 0o755 })).toBe("ENOSPC");
  });
});

describe("an invalid value of user.llmfs.* is refused:", () => {
  const refused: readonly (readonly [name: string, ...values: (string | Uint8Array)[]])[] = [
    ["temperature", "hot", "3", "-1", "1e400"],
    ["max-tokens", "0", "many"],
    ["model", "two\nlines", Uint8Array.of(0xff, 0x00)],
    ["generator", "a\tb"],
    ["refresh", "soon"],
    ["prompt", Uint8Array.of(0xff, 0xfe)],
    ["description", "a\0b"],
  ];
  const taken = [
    ["temperature", "0", "1.5", ""],
    ["max-tokens", "900", ""],
    ["model", "big", ""],
    ["refresh", "always", "300s", "5s stale", "once"],
    ["prompt", "Two\nlines, été.", ""],
    ["meta.anything", Uint8Array.of(0xff)],
  ] as const;

  test.each(refused)("%s", (name, ...values) => {
    using fs = served();
    fs.directory("/d");
    for (const value of values) expect(set(fs, fs.node("/d"), `user.llmfs.${name}`, value)).toBe("EINVAL");
    expect(list(fs, fs.node("/d"))).toEqual([]);
  });

  test("valid values of user.llmfs.* are accepted", () => {
    using fs = served();
    fs.directory("/d");
    for (const [name, ...values] of taken) {
      for (const value of values) expect(set(fs, fs.node("/d"), `user.llmfs.${name}`, value)).toBe("ok");
    }
  });
});

test("a misspelt user.llmfs name is stored with one warning that suggests the right one; a name of a later version is stored silently", () => {
  using fs = served();
  fs.directory("/d");
  const names = ["depend", "genrator", "genrator", "Prompt", "cache-control", "meta.mode", "depends", "meta"];
  for (const name of names) expect(set(fs, fs.node("/d"), `user.llmfs.${name}`, "x")).toBe("ok");
  expect(set(fs, fs.node("/d"), "user.genrator", "x")).toBe("ok");
  expect(get(fs, fs.node("/d"), "user.llmfs.genrator")).toBe("x");
  expect(fs.posted.flatMap((message) => (message.type === "log" ? [`${message.level}: ${message.text}`] : []))).toEqual(
    [
      "warn: user.llmfs.depend was set, which means nothing to llmfs; did you mean user.llmfs.depends?",
      "warn: user.llmfs.genrator was set, which means nothing to llmfs; did you mean user.llmfs.generator?",
      "warn: user.llmfs.Prompt was set, which means nothing to llmfs; did you mean user.llmfs.prompt?",
    ],
  );
});
