/** Reads a tar archive into a tree. */
import { createGunzip, createZstdDecompress } from "node:zlib";
import { FsError, messageOf } from "../errno.ts";
import type { Directory } from "../tree/directory.ts";
import type { Tree } from "../tree/tree.ts";
import { ArchiveError, type ArchiveOptions, ArchiveReader } from "./archive.ts";
import { isZip } from "./read-zip.ts";
import { createTarExtract, type TarExtract } from "./tar-format.ts";

/** Rejects with ArchiveError, or FsError ENOSPC. Returns the number of entries. */
export async function readTar(
  tree: Tree,
  into: Directory,
  source: AsyncIterable<Uint8Array>,
  options: ArchiveOptions,
): Promise<number> {
  const reader = new ArchiveReader(tree, into, options);
  const archive = createTarExtract();
  const feeding = feed(source, archive);
  feeding.catch((error: unknown) => archive.destroy(error));
  try {
    for await (const entry of archive) await reader.take(entry.header, entry);
    await feeding;
  } catch (error) {
    if (error instanceof ArchiveError || error instanceof FsError) throw error;
    throw new ArchiveError(`it is not a tar archive, or damaged: ${messageOf(error)}`, { cause: error });
  }
  reader.finish();
  return reader.count;
}

/** Archives that are compressed with gzip or zstd are recognized by their first bytes. */
async function feed(source: AsyncIterable<Uint8Array>, archive: TarExtract): Promise<void> {
  const write = (to: Target, bytes: Uint8Array) =>
    to.write(bytes) ? undefined : new Promise<void>((resolve) => to.once("drain", resolve));
  let target: Target | undefined;
  for await (const bytes of source) {
    if (bytes.length === 0) continue;
    if (target === undefined && isZip(bytes))
      throw new ArchiveError("it is a zip archive, whose directory is at its end, so it must be a file");
    target ??= decompress(bytes, archive);
    await write(target, bytes);
  }
  (target ?? archive).end();
}

type Target = Pick<TarExtract, "write" | "end"> & { once(event: "drain", handler: () => void): unknown };

function decompress(start: Uint8Array, archive: TarExtract): Target {
  const zipped = start[0] === 0x1f && start[1] === 0x8b;
  const zstd = start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd;
  if (!zipped && !zstd) return archive;
  const stream = zipped ? createGunzip() : createZstdDecompress();
  stream.on("error", (error) => archive.destroy(error));
  stream.on("data", (bytes: Uint8Array) => {
    if (archive.write(bytes)) return;
    stream.pause();
    archive.once("drain", () => stream.resume());
  });
  stream.on("end", () => archive.end());
  return stream;
}
