/** A tar archive as a stream of bytes. What becomes of its entries is tested with `llmfs import`. */
import { expect, test } from "bun:test";
import { BlobWriter, configure, Uint8ArrayReader, ZipWriter } from "@zip.js/zip.js";
import { readTar } from "../../src/disk/read-tar.ts";
import { fixedClock } from "../../src/tree/inode.ts";
import { Tree } from "../../src/tree/tree.ts";

function read(source: AsyncIterable<Uint8Array>): Promise<number> {
  const tree = new Tree({ clock: fixedClock(7) });
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
