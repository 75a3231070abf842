import { describe, expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { SnapshotSaver } from "../../../src/snapshot/write/save.ts";
import { PAGE } from "../../../src/tree/content/store.ts";
import { type Inode, S_IFMT } from "../../../src/tree/inode.ts";
import { RENAME_EXCHANGE, type Tree } from "../../../src/tree/tree.ts";
import { describeTree, fileAt, load, makeFile, newTree, OWNER, Random, randomTree, save, textAt } from "../trees.ts";

/** The rest of a saver's output. */
function drain(saver: SnapshotSaver): string {
  const pieces: Uint8Array[] = [];
  for (let piece = saver.next(); piece !== undefined; piece = saver.next()) pieces.push(piece);
  return Buffer.concat(pieces).toString("utf8");
}

describe("the text of a snapshot", () => {
  test("the text of a snapshot states when and how fast content was generated only if times are requested", () => {
    const tree = newTree();
    const file = makeFile(tree, tree.root, "a", "made\n");
    file.state = "ready";
    const meta = { at: "2026-11-05T10:00:00Z", model: "m", ms: "812" };
    for (const [key, value] of Object.entries(meta)) file.putXattr(`user.llmfs.meta.${key}`, Buffer.from(value));
    const kept = (text: string) => [...text.matchAll(/meta\.(\w+)/g)].map(([, key]) => key);
    expect(kept(save(tree))).toEqual(["model"]);
    expect(kept(save(tree, { times: true }))).toEqual(["at", "model", "ms"]);
  });

  test("the text of a snapshot is easy for people to read and compare", () => {
    const tree = newTree();
    const src = tree.mkdir(tree.root, "src", 0o755, OWNER);
    makeFile(tree, tree.root, "README.md", '# Harbor\n\nBerths, "tides".\n');
    makeFile(tree, tree.root, "LICENSE", "MIT\n");
    makeFile(tree, src, "logo.bin", new Uint8Array([0, 1, 2, 255]));
    makeFile(tree, src, "empty", "");
    const pending = tree.createFile(src, "main.ts", 0o755, { uid: 7, gid: 8 });
    pending.state = "pending";
    pending.replaceXattrs(
      new Map([
        ["user.llmfs.prompt", Buffer.from("Write\nit.\n")],
        ["user.llmfs.generator", Buffer.from("llm")],
      ]),
    );
    const failed = tree.createFile(src, "failed", 0o644, OWNER);
    failed.state = "failed";
    failed.error = new FsError("EDQUOT", "the budget of 5 calls is spent");
    tree.link(pending, tree.root, "zz");
    tree.symlink(src, "up", "../README.md", OWNER);
    tree.mknod(src, "null", 0o020666, 0x103, OWNER);
    expect(save(tree)).toBe(`{
  "llmfs": 1,
  "entries": [
    {"path": "/", "type": "directory", "mode": "0755", "uid": 1000, "gid": 1000},
    {"path": "/LICENSE", "type": "file", "mode": "0644", "text": "MIT\\n"},
    {"path": "/README.md", "type": "file", "mode": "0644", "text": [
      "# Harbor\\n",
      "\\n",
      "Berths, \\"tides\\".\\n"
    ]},
    {"path": "/src", "type": "directory", "mode": "0755"},
    {"path": "/src/empty", "type": "file", "mode": "0644", "text": ""},
    {"path": "/src/failed", "type": "file", "mode": "0644", "state": "failed", "error": {"code": "EDQUOT", "message": "the budget of 5 calls is spent"}},
    {"path": "/src/logo.bin", "type": "file", "mode": "0644", "base64": "AAEC/w=="},
    {"path": "/src/main.ts", "type": "file", "mode": "0755", "uid": 7, "gid": 8, "state": "pending", "xattrs": {
      "user.llmfs.generator": "llm",
      "user.llmfs.prompt": [
        "Write\\n",
        "it.\\n"
      ]
    }},
    {"path": "/src/null", "type": "chardev", "mode": "0666", "rdev": "1:3"},
    {"path": "/src/up", "type": "symlink", "target": "../README.md"},
    {"path": "/zz", "type": "link", "to": "/src/main.ts"}
  ]
}
`);
  });

  test("a snapshot marks and escapes a name that is not UTF-8", () => {
    const tree = newTree();
    makeFile(tree, tree.root, "a\xff\\\xc3\xa9", "x");
    expect(save(tree)).toContain('{"path": "/a\\\\xff\\\\\\\\\\\\xc3\\\\xa9", "escaped": true, "type": "file"');
  });

  test("the text of a sparse file has holes instead of zeros", () => {
    const tree = newTree();
    const file = tree.createFile(tree.root, "sparse", 0o644, OWNER);
    file.write(1 << 30, Buffer.from("end"));
    const text = save(tree);
    expect(text).toContain(`"base64": [\n      {"hole": ${1 << 30}},\n      "ZW5k"\n    ]}`);
    expect(fileAt(load(text), "/sparse").allocated).toBe(PAGE);
  });

  test("two snapshots differ in one line if one line of a file differs", () => {
    const lines = Array.from({ length: 100 }, (_value, index) => `line ${index}\n`);
    const tree = newTree();
    const file = makeFile(tree, tree.root, "a", lines.join(""));
    const before = save(tree).split("\n");
    file.write(0, Buffer.from("LINE"));
    const after = save(tree).split("\n");
    expect(after.length).toBe(before.length);
    expect(after.filter((line, index) => line !== before[index])).toEqual(['      "LINE 0\\n",']);
  });

  test("the text of a snapshot names no owner if requested", () => {
    const tree = newTree();
    tree.createFile(tree.root, "other", 0o644, { uid: 5, gid: 6 });
    expect(save(tree, { owner: false })).not.toMatch(/uid|gid/);
    const mine = load(save(tree, { owner: false }), { owner: { uid: 42, gid: 43 } });
    expect(fileAt(mine, "/other")).toMatchObject({ uid: 42, gid: 43 });
    expect(mine.root).toMatchObject({ uid: 42, gid: 43 });
  });

  test("a snapshot omits unlinked files", () => {
    const tree = newTree();
    const file = makeFile(tree, tree.root, "gone", "x");
    tree.hold(file);
    tree.unlink(tree.root, "gone");
    tree.hold(tree.tmpfile(tree.root, 0o600, OWNER));
    expect(save(tree)).not.toContain("gone");
  });

  test("a snapshot lists a file that is being generated as pending", () => {
    const tree = newTree();
    tree.createFile(tree.root, "a", 0o644, OWNER).state = "generating";
    expect(fileAt(load(save(tree)), "/a").state).toBe("pending");
  });

  test("a snapshot uses base64 for content with a NUL or invalid UTF-8 anywhere", () => {
    const tree = newTree();
    const long = Buffer.from("日本🎉é\n".repeat(40_000));
    for (let cut = 0; cut < 4; cut++)
      makeFile(tree, tree.root, `text${cut}`, Buffer.concat([Buffer.alloc(cut, "x"), long]));
    const bad = Buffer.from(long);
    bad[300_001] = 0xff;
    makeFile(tree, tree.root, "invalid", bad);
    makeFile(tree, tree.root, "cut", long.subarray(0, long.length - 2));
    makeFile(tree, tree.root, "nul", Buffer.concat([long, Buffer.alloc(1)]));
    const text = save(tree);
    for (const [name, encoding] of [
      ["text0", "text"],
      ["text1", "text"],
      ["text2", "text"],
      ["text3", "text"],
    ])
      expect(text).toContain(`"/${name}", "type": "file", "mode": "0644", "${encoding}"`);
    for (const name of ["invalid", "nul"])
      expect(text).toContain(`"/${name}", "type": "file", "mode": "0644", "base64"`);
    expect(describeTree(load(text))).toEqual(describeTree(tree));
  });
});

describe("a save in slices", () => {
  test("a save in slices gives the same text for any slice size", () => {
    const tree = randomTree(7);
    const whole = save(tree);
    for (const slice of [{ bytes: 1 }, { bytes: 10_000 }, { milliseconds: 0 }]) {
      const saver = new SnapshotSaver(tree);
      const pieces: Uint8Array[] = [];
      for (let piece = saver.next(slice); piece !== undefined; piece = saver.next(slice)) pieces.push(piece);
      expect(Buffer.concat(pieces).toString("utf8")).toBe(whole);
      expect(pieces.length).toBeGreaterThan(10);
    }
  });

  test("a save begins without a look at the whole tree", () => {
    const tree = newTree();
    for (let number = 0; number < 30_000; number++) makeFile(tree, tree.root, `file ${number}`, "text\n");
    const used = (work: () => void) => {
      const before = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    let saver: SnapshotSaver | undefined;
    const begin = used(() => {
      saver = new SnapshotSaver(tree);
      saver.next({ bytes: 1 });
    });
    const rest = used(() => saver && drain(saver));
    expect(begin).toBeLessThan(rest / 20);
  });

  test("the slices of a save have the requested size, give or take one piece", () => {
    const tree = newTree();
    makeFile(tree, tree.root, "big", Buffer.alloc(5_000_000, 255));
    const saver = new SnapshotSaver(tree);
    for (let piece = saver.next({ bytes: 200_000 }); piece !== undefined; piece = saver.next({ bytes: 200_000 }))
      expect(piece.length).toBeLessThan(400_000);
  });

  test("a save releases every reference, whether or not it is read to the end", () => {
    for (const read of [() => {}, (saver: SnapshotSaver) => saver.next({ bytes: 10 }), drain]) {
      const tree = newTree();
      makeFile(tree, tree.root, "a", "removed\n");
      makeFile(tree, tree.root, "b", "removed too\n");
      {
        using saver = new SnapshotSaver(tree);
        tree.unlink(tree.root, "a");
        read(saver);
        tree.unlink(tree.root, "b");
      }
      expect([...tree.inodes()]).toEqual([tree.root]);
      expect(tree.root.references).toBe(0);
    }
  });
});

describe("a save while the tree changes gives the tree as it was at the beginning", () => {
  const changes: [string, (tree: Tree, saver: SnapshotSaver) => void][] = [
    [
      "a file overwritten in part",
      (tree, saver) => {
        const file = fileAt(tree, "/b");
        saver.beforeChange(file, 5000, 3);
        file.write(5000, Buffer.from("XYZ"));
      },
    ],
    [
      "a file overwritten, with an unknown range",
      (tree, saver) => {
        const file = fileAt(tree, "/b");
        saver.beforeChange(file);
        file.write(0, Buffer.alloc(200_000, "Z"));
      },
    ],
    [
      "a file truncated to zero and rewritten",
      (tree, saver) => {
        const file = fileAt(tree, "/b");
        saver.beforeChange(file);
        file.truncate(0);
        saver.beforeChange(file);
        file.write(0, Buffer.from("new"));
      },
    ],
    [
      "a file truncated in the middle",
      (tree, saver) => {
        const file = fileAt(tree, "/b");
        saver.beforeChange(file, 7000, Number.POSITIVE_INFINITY);
        file.truncate(7000);
      },
    ],
    [
      "a file that grows",
      (tree, saver) => {
        const file = fileAt(tree, "/b");
        saver.beforeChange(file, file.size, 100);
        file.write(file.size, Buffer.alloc(100, "G"));
      },
    ],
    [
      "a hole filled",
      (tree, saver) => {
        const file = fileAt(tree, "/sparse");
        saver.beforeChange(file, 100_000, 10);
        file.write(100_000, Buffer.from("0123456789"));
      },
    ],
    [
      "a hole punched",
      (tree, saver) => {
        const file = fileAt(tree, "/b");
        saver.beforeChange(file, 0, 8192);
        file.punch(0, 8192);
      },
    ],
    ["a file removed", (tree) => void tree.unlink(tree.root, "b")],
    ["a file renamed", (tree) => void tree.rename(tree.root, "b", tree.root, "0")],
    [
      "a file replaced",
      (tree) => {
        makeFile(tree, tree.root, "new", "other");
        tree.rename(tree.root, "new", tree.root, "b");
      },
    ],
    ["a file created", (tree) => void makeFile(tree, tree.root, "c", "new")],
    [
      "a mode and an owner changed",
      (tree) => {
        fileAt(tree, "/b").setMode(0o100600);
        fileAt(tree, "/b").setOwner({ uid: 0 });
      },
    ],
    [
      "an xattr changed",
      (tree) => {
        fileAt(tree, "/b").putXattr("user.a", Buffer.from("changed"));
        fileAt(tree, "/b").putXattr("user.b", Buffer.from("new"));
      },
    ],
    [
      "a pending file generated",
      (tree, saver) => {
        const file = fileAt(tree, "/pending");
        saver.beforeChange(file);
        file.state = "ready";
        file.write(0, Buffer.from("generated"));
      },
    ],
    [
      "the last name of a hard-linked file removed",
      (tree) => {
        tree.unlink(tree.root, "b");
        tree.unlink(tree.root, "b2");
      },
    ],
  ];

  function sample(): Tree {
    const tree = newTree();
    makeFile(tree, tree.root, "a", "first\n");
    const file = makeFile(tree, tree.root, "b", "some line of text\n".repeat(10_000));
    file.replaceXattrs(new Map([["user.a", Buffer.from("value")]]));
    tree.link(file, tree.root, "b2");
    tree.createFile(tree.root, "pending", 0o644, OWNER).state = "pending";
    const sparse = tree.createFile(tree.root, "sparse", 0o644, OWNER);
    sparse.write(500_000, Buffer.from("end"));
    return tree;
  }

  test.each(changes)("%s", (_name, change) => {
    // At every stage of the save: before a file is reached, while it is being written, and after.
    const whole = save(sample());
    for (let before = 0; before < 14; before++) {
      const tree = sample();
      const saver = new SnapshotSaver(tree);
      let text = "";
      for (let slice = 0; slice < before; slice++) text += Buffer.from(saver.next({ bytes: 1 }) ?? "").toString("utf8");
      change(tree, saver);
      expect(text + drain(saver)).toBe(whole);
      tree.checkInvariants();
      for (const { inode } of tree.walk()) expect(inode.references).toBe(0);
    }
  });

  test("any number of random writes, in any order", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const random = new Random(seed);
      const tree = sample();
      const whole = save(tree);
      const saver = new SnapshotSaver(tree);
      let text = "";
      for (let piece = saver.next({ bytes: 1 }); piece !== undefined; piece = saver.next({ bytes: 1 })) {
        text += Buffer.from(piece).toString("utf8");
        const file = fileAt(tree, random.pick(["/b", "/sparse", "/a"]));
        const offset = random.below(600_000);
        const data = random.bytes(1 + random.below(9000));
        if (random.chance(4)) {
          saver.beforeChange(file, offset);
          file.truncate(offset);
        } else {
          saver.beforeChange(file, offset, data.length);
          file.write(offset, data);
        }
      }
      expect(text).toBe(whole);
    }
  });
});

test("any changes of names, attributes and contents during a save leave no trace in it", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed);
    const tree = randomTree(seed);
    const whole = save(tree, { times: true });
    const saver = new SnapshotSaver(tree, { times: true });
    let text = "";
    for (let piece = saver.next({ bytes: 1 }); piece !== undefined; piece = saver.next({ bytes: 1 })) {
      text += Buffer.from(piece).toString("utf8");
      for (let count = random.below(4); count > 0; count--) changeSomething(tree, saver, random);
    }
    expect(text).toBe(whole);
    tree.checkInvariants();
    for (const inode of tree.inodes()) expect(inode.references).toBe(0);
  }
});

/** Operations that fail, such as removing a directory that is not empty, change nothing. */
function changeSomething(tree: Tree, saver: SnapshotSaver, random: Random): void {
  const all = [...tree.walk()].map(({ inode }) => inode);
  const directories = all.filter((inode) => inode.kind === "directory");
  const [one, other] = [random.pick(directories), random.pick(directories)];
  const name = random.pick([...one.entries()].map((dentry) => dentry.name).concat("fresh"));
  const newName = random.pick([...other.entries()].map((dentry) => dentry.name).concat("fresh", "new"));
  const inode = random.pick(all);
  const operations = [
    () => tree.unlink(one, name),
    () => tree.rmdir(one, name),
    () => tree.rename(one, name, other, newName),
    () => tree.rename(one, name, other, newName, RENAME_EXCHANGE),
    () => tree.link(inode, other, newName),
    () => tree.createFile(other, newName, 0o600, OWNER).write(0, Buffer.from("created during the save")),
    () => tree.mkdir(other, newName, 0o700, OWNER),
    () => tree.symlink(other, newName, "elsewhere", OWNER),
    () => inode.setMode((inode.mode & S_IFMT) | random.below(0o10000)),
    () => inode.setOwner({ uid: random.below(9) }),
    () => inode.putXattr("user.during", Buffer.from("a save")),
    () => inode.dropXattr(random.pick([...(inode.xattrs?.keys() ?? ["none"])])),
    () => inode.touchAtime(tree.clock),
    () => inode.setTimes({ mtime: { seconds: random.below(1e9), nanoseconds: 1 } }),
    () => changeContent(tree, inode, random.pick(all), saver, random),
  ];
  try {
    random.pick(operations)();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
  }
}

function changeContent(tree: Tree, file: Inode, other: Inode, saver: SnapshotSaver, random: Random): void {
  if (file.kind !== "file" || other.kind !== "file") return;
  if (random.chance(3) && file !== other) {
    saver.beforeExchange(file, other);
    file.exchange(other);
    return;
  }
  if (random.chance(4)) {
    saver.beforeChange(file);
    file.truncate(0);
    file.state = "failed";
    file.error = new FsError("EIO", "failed during the save");
    return;
  }
  saver.beforeChange(file, 100, 5);
  file.becomeStatic();
  file.write(100, Buffer.from("write"));
  file.touchMtime(tree.clock);
}

test("a small file that the kernel writes by itself is saved as it was at the beginning, with its times", () => {
  const tree = newTree();
  const file = makeFile(tree, tree.root, "a", "before\n");
  const store = file.share();
  store.write(0, Buffer.from("BEFORE\n"));
  const saver = new SnapshotSaver(tree, { times: true }, [file]);
  const { mtime } = file.times();
  store.write(0, Buffer.from("after\n\n\n"));
  const text = drain(saver);
  expect(mtime).toBeGreaterThan(1_500_000_000);
  expect(textAt(load(text), "/a")).toBe("BEFORE\n");
  expect(fileAt(load(text), "/a").times().mtime).toBe(mtime);
});

test("a file that shrinks without notice is saved with zeros, and the snapshot can be loaded", () => {
  const tree = newTree();
  const file = makeFile(tree, tree.root, "a", "text of a line\n".repeat(50_000));
  const saver = new SnapshotSaver(tree);
  let text = "";
  for (let slice = 0; slice < 16; slice++) text += Buffer.from(saver.next({ bytes: 1 }) ?? "").toString("utf8");
  file.truncate(600_000);
  file.write(590_000, new Uint8Array([0xff, 0xfe]));
  text += drain(saver);
  const loaded = fileAt(load(text), "/a");
  expect(loaded.size).toBe(15 * 50_000);
  expect(textAt(load(text), "/a").slice(0, 15)).toBe("text of a line\n");
  expect(
    loaded
      .bytes()
      .subarray(600_000)
      .some((byte) => byte !== 0),
  ).toBe(false);
});
