/** A zip archive becomes a tree, and one that is hostile or damaged is refused. */
import { describe, expect, test } from "bun:test";
import { BlobWriter, configure, Uint8ArrayReader, ZipWriter, type ZipWriterAddDataOptions } from "@zip.js/zip.js";
import { isZip, readZip } from "../../src/disk/read-zip.ts";
import { writeZip } from "../../src/disk/write-zip.ts";
import { FsError } from "../../src/errno.ts";
import { RegularFile } from "../../src/tree/file.ts";
import { fixedClock } from "../../src/tree/inode.ts";
import { Space, type SpaceOptions } from "../../src/tree/space.ts";
import { Tree } from "../../src/tree/tree.ts";

configure({ useWebWorkers: false });

const OWNER = { uid: 1, gid: 2 };
const SYMLINK = 0o120777;

type Part = readonly [name: string, content?: string | Uint8Array | undefined, options?: ZipWriterAddDataOptions];

async function zip(...parts: readonly Part[]): Promise<Uint8Array<ArrayBuffer>> {
  const writer = new ZipWriter(new BlobWriter(), { useWebWorkers: false });
  for (const [name, content, options] of parts) {
    await writer.add(name, content === undefined ? undefined : new Uint8ArrayReader(Buffer.from(content)), options);
  }
  return await (await writer.close()).bytes();
}

const newTree = (space?: SpaceOptions) => new Tree({ clock: fixedClock(7), ...(space && { space: new Space(space) }) });

async function read(bytes: Uint8Array<ArrayBuffer>, tree = newTree()) {
  const warnings: string[] = [];
  const options = { owner: OWNER, keepOwners: false, warn: (text: string) => void warnings.push(text) };
  const count = await readZip(tree, tree.root, new Blob([bytes]), options);
  const entries = [...tree.walk()].slice(1).map(({ path, inode }) => {
    const mode = (inode.mode & 0o7777).toString(8);
    if (inode.kind === "symlink") return `${path} -> ${inode.target}`;
    return inode instanceof RegularFile ? `${path} ${mode} ${Buffer.from(inode.bytes())}` : `${path}/ ${mode}`;
  });
  return { tree, count, entries, warnings };
}

const problemOf = (bytes: Uint8Array<ArrayBuffer>, space?: SpaceOptions) =>
  read(bytes, newTree(space)).then(
    ({ entries }) => `read: ${entries.join(", ")}`,
    (error: Error) => (error instanceof FsError ? error.code : `${error.name}: ${error.message}`),
  );

test("files, directories and symlinks get their names, modes and times; missing directories are created", async () => {
  const lastModDate = new Date("2020-02-03T04:05:06Z");
  const bytes = await zip(
    ["bin/", undefined, { directory: true, unixMode: 0o40750 }],
    ["bin/run", "#!/bin/sh", { unixMode: 0o100755, lastModDate }],
    ["deep/er/ünïcode", "text"],
    ["link", "bin/run", { unixMode: SYMLINK }],
    ["./bin/run2", "x", { unixMode: 0o100600 }],
    ["/absolute", "y", { unixMode: 0o100644 }],
  );
  expect(isZip(bytes)).toBe(true);
  const { tree, count, entries, warnings } = await read(bytes);
  expect([count, warnings]).toEqual([6, []]);
  expect(entries.map((line) => Buffer.from(line, "latin1").toString())).toEqual([
    "/absolute 644 y",
    "/bin/ 750",
    "/bin/run 755 #!/bin/sh",
    "/bin/run2 600 x",
    "/deep/ 755",
    "/deep/er/ 755",
    expect.stringMatching(/^\/deep\/er\/ünïcode \d+ text$/),
    "/link -> bin/run",
  ]);
  expect(tree.resolve("/bin/run", { follow: false }).times().mtime).toBe(lastModDate.getTime() / 1000);
  tree.checkInvariants();
});

test("what export writes is read again", async () => {
  const tree = newTree();
  const directory = tree.mkdir(tree.root, "d", 0o711, OWNER);
  tree.createFile(directory, "f", 0o640, OWNER).write(0, Buffer.from("content"));
  tree.createFile(directory, "empty", 0o644, OWNER);
  tree.symlink(directory, "l", "../gone", OWNER);
  const pieces = await Array.fromAsync(writeZip(tree, { directory: tree.root, path: "/" }, { warn() {} }));
  const { entries } = await read(Buffer.concat(pieces));
  expect(entries).toEqual(["/d/ 711", "/d/empty 644 ", "/d/f 640 content", "/d/l -> ../gone"]);
});

test("what export writes is read again, even with times that few programs know", async () => {
  for (const seconds of [-1e12, 2 ** 40, Number.POSITIVE_INFINITY]) {
    const tree = newTree();
    const file = tree.createFile(tree.root, "f", 0o640, OWNER);
    file.setTimes({ mtime: { seconds, nanoseconds: 0 } });
    const pieces = await Array.fromAsync(writeZip(tree, { directory: tree.root, path: "/" }, { warn() {} }));
    expect((await read(Buffer.concat(pieces))).entries).toEqual(["/f 640 "]);
  }
});

test("an archive without entries is read, and one in which a name occurs twice has the later file", async () => {
  expect(isZip(await zip())).toBe(true);
  expect((await read(await zip())).count).toBe(0);
  const twice = patch(await zip(["a", "first", { level: 0 }], ["b", "later", { level: 0 }]), "b", "a");
  expect((await read(twice)).entries).toEqual([expect.stringMatching(/^\/a \d+ later$/)]);
});

test("what belongs to a mount, and what a tree does not know, is left out with a warning", async () => {
  const { entries, warnings } = await read(
    await zip([".llmfs/control", "x"], ["fifo", "", { unixMode: 0o010644 }], ["ok", "x", { unixMode: 0o100644 }]),
  );
  expect(entries).toEqual(["/ok 644 x"]);
  expect(warnings).toEqual([
    ".llmfs/control: left out, because a mount has its control files under this name",
    "fifo: left out, because it is of an unknown type",
  ]);
});

/** Replaces bytes wherever they occur. */
function patch(bytes: Uint8Array, from: string, to: string): Uint8Array<ArrayBuffer> {
  return Buffer.from(Buffer.from(bytes).toString("latin1").replaceAll(from, to), "latin1");
}

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString("latin1");
};

describe("an archive is refused", () => {
  test.each([
    ["../evil", "ArchiveError: ../evil leads out of the archive"],
    ["a/../../evil", "ArchiveError: a/../../evil leads out of the archive"],
  ])("that leads out of the tree: %s", async (name, problem) => {
    const harmless = name.replaceAll("..", "xx");
    expect(await problemOf(patch(await zip([harmless, "x"]), harmless, name))).toBe(problem);
  });

  test("that leads through a symlink of its own", async () => {
    const bytes = await zip(["s", "/etc", { unixMode: SYMLINK }], ["s/passwd", "x"]);
    expect(await problemOf(bytes)).toBe("ArchiveError: s leads through s, which is not a directory");
  });

  test("whose symlink has no target, or one that is too long or contains a NUL", async () => {
    const link = (target: string) => zip(["link", target, { unixMode: SYMLINK }]);
    expect(await problemOf(await link(""))).toContain("link is a symlink with a target of 0 bytes");
    expect(await problemOf(await link("x".repeat(4096)))).toContain("link is a symlink with a target of 4096 bytes");
    expect(await problemOf(await link("a\0b"))).toContain("link is a symlink with a NUL in its target");
  });

  test("that is encrypted", async () => {
    const bytes = await zip(["secret", "x", { password: "p" }]);
    expect(await problemOf(bytes)).toContain("secret is encrypted; unpack the archive");
  });

  test("that unpacks to more than there is room for", async () => {
    const bytes = await zip(["bomb", Buffer.alloc(64 << 20)]);
    expect(bytes.length).toBeLessThan(100_000);
    expect(await problemOf(bytes, { bytes: 1 << 20 })).toBe("ENOSPC");
    expect(await problemOf(await zip(["a", "x"], ["b", "y"]), { inodes: 2 })).toBe("ENOSPC");
  });

  test("in which a file has more content, or less, than the archive says, or another checksum", async () => {
    const bytes = await zip(["a", "x".repeat(5000), { dataDescriptor: false }]);
    for (const size of [10, 6000]) {
      expect(await problemOf(patch(bytes, u32(5000), u32(size)))).toStartWith("ArchiveError: ");
    }
    const stored = await zip(["a", "some content", { level: 0 }]);
    expect(await problemOf(patch(stored, "some content", "same content"))).toContain(
      "it is not a zip archive, or damaged",
    );
  });

  test("that is cut off, or is something else", async () => {
    const bytes = await zip(["a", "x".repeat(1000)]);
    expect(await problemOf(bytes.slice(0, -10))).toContain("it is not a zip archive, or damaged");
    expect(await problemOf(Buffer.alloc(2048, 7))).toContain("it is not a zip archive, or damaged");
  });
});
