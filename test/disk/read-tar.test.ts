/** A tar archive as a stream of bytes. What becomes of its entries is tested with `llmfs import`. */
import { expect, test } from "bun:test";
import { BlobWriter, configure, Uint8ArrayReader, ZipWriter } from "@zip.js/zip.js";
import { readTar } from "../../src/disk/read-tar.ts";
import { encodeTarBlock } from "../../src/disk/tar-format.ts";
import { writeTar } from "../../src/disk/write-tar.ts";
import { fixedClock } from "../../src/tree/inode.ts";
import { Tree } from "../../src/tree/tree.ts";

function read(source: AsyncIterable<Uint8Array>, tree = new Tree({ clock: fixedClock(7) })): Promise<number> {
  return readTar(tree, tree.root, source, { owner: { uid: 1, gid: 2 }, keepOwners: false, warn() {} });
}

test("a tar archive whose source fails, or whose compression is damaged, is refused", async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(100);
    throw new Error("the disk is gone");
  }
  await expect(read(failing())).rejects.toThrow("it is not a tar archive, or damaged: the disk is gone");
  const damaged = Buffer.concat([Bun.gzipSync(Buffer.alloc(10_000)).subarray(0, 20), Buffer.alloc(100, 7)]);
  await expect(read(new Blob([damaged]).stream())).rejects.toThrow("it is not a tar archive, or damaged: ");
});

test("a zip archive as a stream is refused, because its directory is at its end", async () => {
  configure({ useWebWorkers: false });
  const writer = new ZipWriter(new BlobWriter());
  await writer.add("a", new Uint8ArrayReader(Buffer.from("x")));
  await expect(read((await writer.close()).stream())).rejects.toThrow(
    "it is a zip archive, whose directory is at its end",
  );
});

test.each([-(2 ** 45), -5, 0, 2 ** 33, 2 ** 40, 2 ** 50, 2 ** 53 - 2])(
  "a file that was changed %d seconds after 1970 is written to a tar archive, and read again",
  async (seconds) => {
    const tree = new Tree({ clock: fixedClock(7) });
    const file = tree.createFile(tree.root, "f", 0o644, { uid: 1, gid: 2 });
    file.setTimes({ mtime: { seconds, nanoseconds: 25 } });
    const copy = new Tree({ clock: fixedClock(7) });
    expect(await read(writeTar(tree, { directory: tree.root, path: "/" }, { warn() {} }), copy)).toBe(1);
    expect(copy.resolve("/f", { follow: false }).times()).toMatchObject({ mtime: seconds, mtimeNsec: 25 });
  },
);

test("a time in a tar archive that is too large for a date is read as a number", async () => {
  const header = { name: "f", type: "file", mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 2 ** 52 } as const;
  const tree = new Tree({ clock: fixedClock(7) });
  const archive = new Blob([Buffer.from(encodeTarBlock(header)), new Uint8Array(1024)]);
  expect(await read(archive.stream(), tree)).toBe(1);
  expect(Number.isSafeInteger(tree.resolve("/f", { follow: false }).times().mtime)).toBe(true);
});
