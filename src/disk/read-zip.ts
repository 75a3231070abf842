/**
 * Reads a zip archive into a tree. The directory at the end of the archive decides what is in it. It must agree with what stands
 * before each entry, entries must not overlap, and contents must have the sizes and checksums that it names.
 */
import type { Entry } from "@zip.js/zip.js";
import { FsError, messageOf } from "../errno.ts";
import type { Directory } from "../tree/directory.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../tree/inode.ts";
import { toBytes } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { ArchiveError, type ArchiveHeader, type ArchiveOptions, ArchiveReader } from "./archive.ts";

const FIRST_ENTRY = 0x504b0304;
const NO_ENTRIES = 0x504b0506;

/** As in Linux. */
const PATH_MAX = 4095;

/** Whether these are the first bytes of a zip archive, which may be empty. */
export function isZip(start: Uint8Array): boolean {
  const signature = start.length < 4 ? 0 : Buffer.from(start.buffer, start.byteOffset, 4).readUInt32BE();
  return signature === FIRST_ENTRY || signature === NO_ENTRIES;
}

/** Rejects with ArchiveError, or FsError ENOSPC. Returns the number of entries. */
export async function readZip(tree: Tree, into: Directory, archive: Blob, options: ArchiveOptions): Promise<number> {
  const { BlobReader, configure, ZipReader } = await import("@zip.js/zip.js");
  // Workers would be loaded from files that the executable does not contain.
  configure({ useWebWorkers: false });
  const reader = new ArchiveReader(tree, into, options);
  const zip = new ZipReader(new BlobReader(archive), {
    useWebWorkers: false,
    checkCrc32: true,
    checkOverlappingEntry: true,
    checkLocalFilename: true,
    // The names are checked here, as those of any archive.
    filenameValidation: "tolerant",
  });
  try {
    for await (const entry of zip.getEntriesGenerator()) {
      const content = contentOf(entry);
      await reader.take(await headerOf(entry, content), content);
    }
  } catch (error) {
    if (error instanceof ArchiveError || error instanceof FsError) throw error;
    throw new ArchiveError(`it is not a zip archive, or damaged: ${messageOf(error)}`, { cause: error });
  } finally {
    await zip.close();
  }
  reader.finish();
  return reader.count;
}

async function headerOf(entry: Entry, content: AsyncIterable<Uint8Array>): Promise<ArchiveHeader> {
  const { filename, directory, encrypted, unixMode = 0, uid, gid, lastModDate, uncompressedSize } = entry;
  if (filename.includes("\0")) throw new ArchiveError(`${JSON.stringify(filename)}: the name contains a NUL`);
  if (encrypted) throw new ArchiveError(`${filename} is encrypted; unpack the archive, and import the directory`);
  const type = typeOf(directory, unixMode);
  const linkname = type === "symlink" ? await readTarget(filename, uncompressedSize, content) : undefined;
  return {
    name: nameOf(entry),
    type,
    mtime: lastModDate,
    // Archives that were not made on Unix have no mode.
    mode: unixMode & 0o7777 || (directory ? 0o755 : 0o644),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
    ...(linkname !== undefined && { linkname }),
  };
}

function typeOf(directory: boolean, mode: number): string {
  if (directory) return "directory";
  switch (mode & S_IFMT) {
    case 0:
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "symlink";
    case S_IFDIR:
      return "directory";
    default:
      return "unknown";
  }
}

/** As bytes. Programs on Windows may separate names with backslashes; elsewhere these are part of a name. */
function nameOf({ filename, versionMadeBy }: Entry): string {
  const madeOnWindows = versionMadeBy >> 8 === 0 && !filename.includes("/");
  return toBytes(madeOnWindows ? filename.replaceAll("\\", "/") : filename);
}

async function readTarget(name: string, size: number, content: AsyncIterable<Uint8Array>): Promise<string> {
  if (size === 0 || size > PATH_MAX) throw new ArchiveError(`${name} is a symlink with a target of ${size} bytes`);
  const target = Buffer.concat(await Array.fromAsync(content)).toString("latin1");
  if (target.includes("\0")) throw new ArchiveError(`${name} is a symlink with a NUL in its target`);
  return target;
}

/** The content of a file, which can be read once. A file that claims to be smaller than it is does not get larger than that. */
async function* contentOf(entry: Entry): AsyncGenerator<Uint8Array> {
  if (entry.directory) return;
  const { filename, uncompressedSize } = entry;
  const pipe = new TransformStream<Uint8Array, Uint8Array>();
  const over = new AbortController();
  const writing = entry.getData(pipe.writable, { signal: over.signal });
  // The reader of the other end gets the failure.
  writing.catch(() => {});
  let size = 0;
  try {
    for await (const bytes of pipe.readable) {
      size += bytes.length;
      if (size > uncompressedSize)
        throw new ArchiveError(`${filename} has more than the ${uncompressedSize} bytes that the archive names`);
      yield bytes;
    }
    await writing;
    if (size < uncompressedSize)
      throw new ArchiveError(`${filename} has only ${size} of the ${uncompressedSize} bytes that the archive names`);
  } finally {
    over.abort();
  }
}
