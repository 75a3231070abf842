/**
 * Decides where a file will be written: which symlinks are followed, and which attributes of an existing file are kept.
 *
 * Anybody who can create names in a directory can put a symlink, a file or a fifo where we are about to write. So the
 * last part of a path is followed only through symlinks of this user or of root; another user's symlink is itself
 * replaced. For the directories on the way the kernel's own rule applies (fs/namei.c:may_follow_link(),
 * fs.protected_symlinks), whether or not that setting is on here. A file that another user put into a world-writable
 * directory passes on neither its mode nor its owner.
 */
import type { Stats } from "node:fs";
import { lstat, readlink, realpath, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { codeOf } from "../../errno.ts";

const MAX_SYMLINKS = 40;

export type Destination =
  /** Nothing exists there, or it is replaced and passes nothing on. */
  | { readonly kind: "new"; readonly path: string }
  /** A regular file, whose mode and owner are kept. */
  | { readonly kind: "replace"; readonly path: string; readonly there: Stats }
  /** A device, a fifo or a socket: written to directly, since it cannot be replaced. */
  | { readonly kind: "into"; readonly path: string }
  /** An open file of a process, such as /dev/stdout: appended to. */
  | { readonly kind: "append"; readonly path: string };

/** Rejects with RefusedDestination, or with the error of a system call. */
export async function resolveDestination(path: string): Promise<Destination> {
  const absolute = resolve(path);
  if (OPEN_FILE.test(absolute)) return { kind: "append", path: absolute };
  const rest = splitPath(absolute);
  let directory = "/";
  for (let links = 0; ; ) {
    const name = rest.shift();
    if (name === undefined) throw new RefusedDestination("is a directory", "name a file to write to");
    if (name === "..") directory = dirname(directory);
    if (name === "." || name === "..") continue;
    const last = rest.length === 0;
    const at = join(directory, name);
    const found = await lookUp(at, last);
    if (found === undefined) return { kind: "new", path: at };
    if (!found.isSymbolicLink()) {
      if (last) return ofFile(at, found, await lstat(directory));
      directory = at;
      continue;
    }
    if (++links > MAX_SYMLINKS) throw new RefusedDestination("leads through too many symbolic links");
    if (await isOfProc(directory)) {
      // The text of such a link does not tell where it leads.
      if (last) return { kind: "append", path: at };
      directory = await realpath(at);
      continue;
    }
    if (last && !isTrusted(found)) return { kind: "new", path: at };
    if (!last) refusePlanted(at, found, await lstat(directory));
    const text = await readlink(at);
    if (text.startsWith("/")) directory = "/";
    rest.unshift(...splitPath(text));
  }
}

/** Why a destination is refused, in words that follow its name. */
export class RefusedDestination extends Error {
  override readonly name = "RefusedDestination";
  readonly cure: string | undefined;

  constructor(reason: string, cure?: string) {
    super(reason);
    this.cure = cure;
  }
}

/** Names for files that this process has open. In a user namespace, the owner of these symlinks may be unknown. */
const OPEN_FILE = /^\/dev\/(stdin|stdout|stderr|fd\/\d+)$|^\/proc\/self\/fd\/\d+$/;

function splitPath(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function ofFile(path: string, there: Stats, directory: Stats): Destination {
  if (there.isDirectory()) throw new RefusedDestination("is a directory", "name a file to write to");
  const planted = there.uid !== user() && isForEverybody(directory);
  if (there.isFile()) return planted ? { kind: "new", path } : { kind: "replace", path, there };
  if (planted && there.uid !== 0) {
    throw new RefusedDestination(`is a device, fifo or socket of user ${there.uid}`, "choose another name");
  }
  return { kind: "into", path };
}

function refusePlanted(path: string, link: Stats, directory: Stats): void {
  const sticky = (directory.mode & 0o1000) !== 0 && isForEverybody(directory);
  if (!sticky || isTrusted(link) || link.uid === directory.uid) return;
  throw new RefusedDestination(
    `leads through ${path}, a symbolic link of user ${link.uid} in a world-writable directory`,
    "use the real path of the directory",
  );
}

function isForEverybody(directory: Stats): boolean {
  return (directory.mode & 0o002) !== 0;
}

function isTrusted({ uid }: Stats): boolean {
  return uid === user() || uid === 0;
}

function user(): number {
  return process.geteuid?.() ?? 0;
}

async function lookUp(path: string, mayBeMissing: boolean): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (mayBeMissing && codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

const PROC_SUPER_MAGIC = 0x9fa0;

async function isOfProc(directory: string): Promise<boolean> {
  return (await statfs(directory)).type === PROC_SUPER_MAGIC;
}
