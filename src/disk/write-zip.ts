/**
 * Writes a tree as a zip archive: names in UTF-8, permissions, times to the second, and symlinks as Info-ZIP writes them. A
 * hard link becomes a file of its own. Files without content are left out, as in a tar archive.
 */
import type { Directory } from "../tree/directory.ts";
import { type Inode, S_IFLNK, S_IFREG } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";
import { chunksOf } from "./file-chunks.ts";
import type { TarOptions } from "./write-tar.ts";

/** A tree has a name that a zip archive cannot hold. */
class ZipNameError extends Error {
  override readonly name = "ZipNameError";
}

/** The archive of the entries below `from`, in pieces. Throws ZipNameError. */
export async function* writeZip(
  tree: Tree,
  from: { readonly directory: Directory; readonly path: string },
  { warn }: TarOptions,
): AsyncGenerator<Uint8Array> {
  const { configure, ZipWriter } = await import("@zip.js/zip.js");
  // Workers would be loaded from files that the executable does not contain.
  configure({ useWebWorkers: false });
  const pipe = new TransformStream<Uint8Array, Uint8Array>();
  const zip = new ZipWriter(pipe.writable, { useWebWorkers: false });
  const prefix = from.path === "/" ? 1 : from.path.length + 1;
  const write = async () => {
    for (const { path, inode } of tree.walk(from.directory, from.path)) {
      if (inode === from.directory || (inode.kind === "file" && inode.lazy)) continue;
      const name = nameOf(path.slice(prefix));
      if (inode.kind === "special") {
        warn(`${name}: left out, because a zip archive holds only files, directories and symlinks`);
        continue;
      }
      const times = timesOf(inode);
      const mode = inode.mode & 0o7777;
      if (inode.kind === "directory")
        await zip.add(`${name}/`, undefined, { ...times, directory: true, unixMode: mode });
      else if (inode.kind === "symlink") {
        const target = streamOf([Buffer.from(inode.target, "latin1")]);
        await zip.add(name, target, { ...times, level: 0, unixMode: S_IFLNK | 0o777 });
      } else await zip.add(name, streamOf(chunksOf(inode)), { ...times, unixMode: S_IFREG | mode });
    }
    await zip.close();
  };
  const writing = write().catch(async (error: unknown) => {
    await pipe.writable.abort(error).catch(() => {});
    throw error;
  });
  writing.catch(() => {});
  yield* pipe.readable;
  await writing;
}

/** Throws ZipNameError for bytes that are not UTF-8, and for what other systems take for a path. */
function nameOf(bytes: string): string {
  const name = Buffer.from(bytes, "latin1").toString("utf8");
  const quoted = JSON.stringify(name);
  if (Buffer.from(name).toString("latin1") !== bytes) throw new ZipNameError(`the name ${quoted} is not UTF-8`);
  if (name.includes("\\")) throw new ZipNameError(`the name ${quoted} has a backslash, which separates names in a zip`);
  return name;
}

function streamOf(pieces: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const all = pieces[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { done, value } = all.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** The first and the last time of MS-DOS, in UTC. */
const DOS_YEARS = { first: 1980, last: 2107 };
/** The last time of a Date, and the opposite of the first one. */
const LAST_MS = 8.64e15;

/**
 * The exact time is in a field that every current program reads. The other one is meant in the local time zone; here it is in
 * UTC, so that the same tree gives the same bytes everywhere.
 */
function timesOf(inode: Inode): { readonly lastModDate: Date; readonly rawLastModDate: number } {
  const lastModDate = new Date(Math.max(-LAST_MS, Math.min(inode.times().mtime * 1000, LAST_MS)));
  const year = lastModDate.getUTCFullYear();
  const { first, last } = DOS_YEARS;
  const dos = year < first ? new Date(Date.UTC(first)) : year > last ? new Date(Date.UTC(last, 11, 31)) : lastModDate;
  const date = ((dos.getUTCFullYear() - first) << 9) | ((dos.getUTCMonth() + 1) << 5) | dos.getUTCDate();
  const time = (dos.getUTCHours() << 11) | (dos.getUTCMinutes() << 5) | (dos.getUTCSeconds() >> 1);
  return { lastModDate, rawLastModDate: ((date << 16) | time) >>> 0 };
}
