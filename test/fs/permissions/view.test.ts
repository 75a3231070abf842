/** What one user may see of a tree that is shared with others. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FsError } from "../../../src/errno.ts";
import { groupsOf } from "../../../src/fs/permissions/groups.ts";
import { OfflineTree } from "../../../src/offline/offline-tree.ts";
import { ACL_ACCESS, setAcl } from "../../../src/tree/permissions/acl.ts";
import { type ServedTree, served } from "../../support/served.ts";

const MOUNTER = 1500;
const ALICE = 71_000;

function chmod(fs: ServedTree, path: string, mode: number, uid = MOUNTER): void {
  const inode = fs.mount.tree.resolve(path, { follow: false });
  inode.setMode((inode.mode & ~0o7777) | mode);
  inode.setOwner({ uid: uid });
}

/** A tree of which Alice may read one part. */
function tree(): ServedTree {
  const fs = served({ sharedBy: MOUNTER });
  fs.file("/open/shown", "shown");
  fs.file("/open/secret", "secret");
  chmod(fs, "/open/secret", 0o600);
  fs.file("/closed/secret", "secret");
  fs.file("/closed/below/secret", "secret");
  chmod(fs, "/closed", 0o700);
  fs.file("/unlisted/known", "known");
  chmod(fs, "/unlisted", 0o711);
  fs.file("/unsearched/secret", "secret");
  chmod(fs, "/unsearched", 0o744);
  fs.file("/alice/hers", "hers");
  chmod(fs, "/alice", 0o700, ALICE);
  chmod(fs, "/alice/hers", 0o600, ALICE);
  const { tree } = fs.mount;
  const owner = { uid: ALICE, gid: ALICE };
  tree.symlink(fs.directory("/links"), "secret", "../closed/secret", owner);
  tree.symlink(fs.directory("/more"), "shown", "/open/shown", owner);
  return fs;
}

/** The content, or the errno. */
function read(fs: ServedTree, path: string, viewer: number | undefined): string {
  let found = "waits";
  const done = (bytes: Uint8Array) => {
    found = Buffer.from(bytes).toString();
  };
  const fail = (error: FsError) => {
    found = error.code;
  };
  try {
    fs.answers.read(path, undefined, done, fail, viewer);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.code;
  }
  return found;
}

function list(fs: ServedTree, path: string, viewer: number): string {
  let found = "waits";
  const done = (entries: readonly { readonly path: string }[]) => {
    found = entries.map((entry) => entry.path).join(" ");
  };
  try {
    fs.answers.list(path, undefined, done, () => {}, viewer);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.code;
  }
  return found;
}

const READS: readonly (readonly [path: string, outcome: string])[] = [
  ["/open/shown", "shown"],
  ["/open/secret", "EACCES"],
  ["/closed/secret", "EACCES"],
  // The answer must not reveal whether the file exists.
  ["/closed/none", "EACCES"],
  ["/closed/below/secret", "EACCES"],
  ["/closed/../open/shown", "EACCES"],
  ["/unlisted/known", "known"],
  ["/unlisted/../open/shown", "shown"],
  ["/unsearched/secret", "EACCES"],
  ["/alice/hers", "hers"],
  ["/links/secret", "EACCES"],
  ["/more/shown", "shown"],
];

describe("a user who did not mount", () => {
  for (const [path, outcome] of READS) {
    test(`a user who did not mount reads ${path}: ${outcome}`, async () => {
      using fs = tree();
      expect(read(fs, path, ALICE)).toBe(outcome);
      const still = new OfflineTree({ text: await saved(fs) }, { sharedBy: MOUNTER }).port.viewAs?.(ALICE);
      const told = await still?.read(path).then(
        (bytes) => Buffer.from(bytes).toString(),
        (error: FsError) => error.code,
      );
      expect(told).toBe(outcome);
    });
  }

  const OUTLINE = ["/alice", "/alice/hers", "/links", "/links/secret", "/more", "/more/shown", "/open", "/open/shown"];

  test("a user who did not mount finds those entries in the outline that can be read at their paths", async () => {
    using fs = tree();
    const paths = (entries: readonly { readonly path: string }[] | undefined) => entries?.map(({ path }) => path);
    expect(paths(fs.outline(ALICE))).toEqual(OUTLINE);
    expect(paths(fs.outline())?.length).toBe(17);
    const still = new OfflineTree({ text: await saved(fs) }, { sharedBy: MOUNTER }).port.viewAs?.(ALICE);
    expect([paths(await still?.outline()), paths(await still?.layout?.())]).toEqual([OUTLINE, undefined]);
  });

  test("a user who did not mount lists directories that can be read and searched", async () => {
    using fs = tree();
    const paths = ["/open", "/closed", "/unlisted", "/unsearched", "/closed/none", "/alice"];
    const expected = ["/open/shown", "EACCES", "EACCES", "EACCES", "EACCES", "/alice/hers"];
    expect(paths.map((path) => list(fs, path, ALICE))).toEqual(expected);
    const still = new OfflineTree({ text: await saved(fs) }, { sharedBy: MOUNTER }).port.viewAs?.(ALICE);
    const told = paths.map((path) =>
      still?.list(path).then(
        (entries) => entries.map((entry) => entry.path).join(" "),
        (error: FsError) => error.code,
      ),
    );
    expect(await Promise.all(told)).toEqual(expected);
  });

  test("a user who did not mount cannot reach the other files in any other way", () => {
    using fs = tree();
    const { answers } = fs;
    for (const path of ["/closed/secret", "/open/secret", "/links/secret", "/closed/none"]) {
      expect(() => answers.readStatic(path, 10, ALICE)).toThrow("may not read");
      const statics = answers.readStatics({ paths: [path, "/open/shown"], limit: 10, epoch: 1, viewer: ALICE });
      expect(statics.map(({ bytes }) => bytes && Buffer.from(bytes).toString())).toEqual([undefined, "shown"]);
      if (path !== "/links/secret") expect(() => answers.stat(path, ALICE)).toThrow("may not read");
    }
  });

  test("a user who did not mount gets no file that is generated below a closed directory", () => {
    using fs = tree();
    const file = fs.pending("/open/made");
    let found: string | undefined;
    const done = () => {
      found = "content";
    };
    fs.answers.read("/open/made", undefined, done, ({ code }) => (found = code), ALICE);
    chmod(fs, "/open/made", 0o600);
    fs.content("secret");
    expect([file.state, found]).toEqual(["ready", "EACCES"]);
  });

  test("a user who did not mount is subject to access control lists, whether they allow or deny", () => {
    using fs = tree();
    const { tree: all } = fs.mount;
    const entry = (tag: number, perm: number, id = 0xffff_ffff) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16LE(tag, 0);
      bytes.writeUInt16LE(perm, 2);
      bytes.writeUInt32LE(id, 4);
      return bytes;
    };
    const acl = (alice: number, others: number) =>
      Uint8Array.from(
        Buffer.concat([
          Buffer.from([2, 0, 0, 0]),
          entry(0x01, 7),
          entry(0x02, alice, ALICE),
          entry(0x04, 0),
          entry(0x10, 7),
          entry(0x20, others),
        ]),
      );
    const set = (path: string, alice: number, others: number) =>
      setAcl(all.resolve(path, { follow: true }), ACL_ACCESS, acl(alice, others), false);
    set("/open/secret", 4, 0);
    set("/open/shown", 0, 4);
    set("/closed", 1, 0);
    expect(["/open/secret", "/open/shown", "/closed/secret"].map((path) => read(fs, path, ALICE))).toEqual([
      "secret",
      "EACCES",
      "secret",
    ]);
  });
});

test("symlinks that others made in a world-writable directory are not followed, whoever the content is for", async () => {
  const BOB = 71_001;
  const owners: readonly (readonly [owner: number, viewer: number | undefined, outcome: string])[] = [
    [ALICE, undefined, "EACCES"],
    [ALICE, ALICE, "shown"],
    [ALICE, BOB, "EACCES"],
    [MOUNTER, undefined, "shown"],
    [0, undefined, "shown"],
    [BOB, ALICE, "EACCES"],
    // The owner of the directory.
    [70_000, ALICE, "shown"],
  ];
  for (const [owner, viewer, outcome] of owners) {
    using fs = tree();
    const directory = fs.directory("/tmp");
    chmod(fs, "/tmp", 0o1777, 70_000);
    fs.mount.tree.symlink(directory, "link", "../open/shown", { uid: owner, gid: owner });
    expect([owner, viewer, read(fs, "/tmp/link", viewer)]).toEqual([owner, viewer, outcome]);
    chmod(fs, "/tmp", 0o777, 70_000);
    expect(read(fs, "/tmp/link", viewer)).toBe("shown");
  }
  using alone = served();
  alone.file("/shown", "shown");
  alone.mount.tree.symlink(alone.directory("/tmp"), "link", "../shown", { uid: ALICE, gid: ALICE });
  chmod(alone, "/tmp", 0o1777, 70_000);
  expect(read(alone, "/tmp/link", undefined)).toBe("shown");
});

/** The tree as a snapshot. */
async function saved(fs: ServedTree): Promise<Uint8Array> {
  const id = fs.answers.saveBegin(false);
  const pieces: Uint8Array[] = [];
  for (let piece = fs.answers.saveNext(id); piece !== undefined; piece = fs.answers.saveNext(id)) pieces.push(piece);
  fs.answers.saveEnd(id);
  return Buffer.concat(pieces);
}

describe("a user's groups", () => {
  function groups(uid: number, passwd: string, group: string): readonly number[] {
    const folder = mkdtempSync(join(tmpdir(), "llmfs-groups-"));
    try {
      const files = { passwd: join(folder, "passwd"), group: join(folder, "group") };
      writeFileSync(files.passwd, passwd);
      writeFileSync(files.group, group);
      return [...groupsOf(uid, files)];
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  const PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/home/alice:/bin/sh\nalias:x:1000:7::/:/bin/sh\n";

  test("a user's groups are the login group and the groups that list the user", () => {
    expect(groups(1000, PASSWD, "root:x:0:\nusers:x:100:\nstaff:x:50:bob,alice\nalices:x:51:alicea,aalice\n")).toEqual([
      100, 50,
    ]);
  });

  test("a user's groups are empty for an unknown user", () => {
    expect(groups(4242, PASSWD, "staff:x:50:4242\n")).toEqual([]);
  });

  test("a user's groups are empty if the files cannot be parsed", () => {
    expect(groups(1000, "alice:x:1000:-1::\nalice:x:10x:5\n:\n\n", "staff:x:5o:alice\n")).toEqual([]);
    expect(groups(1000, PASSWD, "+:::\n\0\nstaff:x:50:alice")).toEqual([100, 50]);
  });

  test("a user's groups are read again when the files change", () => {
    const folder = mkdtempSync(join(tmpdir(), "llmfs-groups-"));
    try {
      const files = { passwd: join(folder, "passwd"), group: join(folder, "group") };
      writeFileSync(files.passwd, PASSWD);
      expect([...groupsOf(1000, files)]).toEqual([100]);
      writeFileSync(files.group, "staff:x:50:alice\n");
      expect([...groupsOf(1000, files)]).toEqual([100, 50]);
      rmSync(files.passwd);
      expect([...groupsOf(1000, files)]).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a user's groups give access to what their group may open", () => {
    using fs = tree();
    const file = fs.mount.tree.resolve("/open/secret", { follow: true });
    file.setMode((file.mode & ~0o777) | 0o640);
    // Exists on every system: "daemon" and its group.
    file.setOwner({ gid: 1 });
    expect([read(fs, "/open/secret", 1), read(fs, "/open/secret", ALICE)]).toEqual(["secret", "EACCES"]);
  });
});
