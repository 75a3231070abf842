/**
 * A private copy of a mounted tree on disk, in which a check runs. What the check leaves behind goes with it.
 *
 * cp(1) copies: modes, times to the nanosecond, links, holes and special files, and it never waits in this process for a
 * file that this process must generate. A keeper process removes the copy, and ends what runs in it, if this process is
 * killed.
 */
import { lstatSync, mkdirSync, mkdtempSync, statfsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../errno.ts";
import { isRunning, listFolder } from "../../procfs.ts";
import { UserError } from "../errors.ts";
import { resolveRealPath } from "../mountpoint.ts";
import { childEnvironment, scratchFolders } from "../settings/settings.ts";

const PREFIX = "llmfs-check-";
/** Below the folder of a copy, which only this user can enter: cp(1) gives the copy the mode of the mount's root. */
const TREE = "tree";

/** How much of an error of cp(1) is worth showing. */
const SHOWN = 500;

export class PrivateCopy implements AsyncDisposable {
  /** The real path. */
  readonly path: string;
  /** How many bytes the tree has. */
  readonly bytes: number;
  readonly #folder: string;
  readonly #keeper: CopyGuard;

  private constructor(folder: string, bytes: number) {
    this.#folder = folder;
    this.path = join(folder, TREE);
    this.bytes = bytes;
    this.#keeper = new CopyGuard(folder);
  }

  /** Rejects with UserError, or with the signal's reason; then nothing is left of it. */
  static async of(mountpoint: string, bytes: number, signal: AbortSignal): Promise<PrivateCopy> {
    await removeAbandoned();
    const copy = new PrivateCopy(createFolder(bytes), bytes);
    try {
      mkdirSync(copy.path, 0o700);
      await copyTree(mountpoint, copy.path, signal);
      return copy;
    } catch (error) {
      await copy[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The process group that works in the copy, while there is one. */
  guard(group: number | undefined): void {
    this.#keeper.setGroup(group);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeFolder(this.#folder);
    this.#keeper.dismiss();
  }
}

function createFolder(bytes: number): string {
  const refused: string[] = [];
  for (const folder of scratchFolders()) {
    try {
      const { bavail, bsize } = statfsSync(folder);
      if (bavail * bsize >= bytes) return resolveRealPath(mkdtempSync(join(folder, `${PREFIX}${process.pid}-`)));
      refused.push(`${folder} has only ${bavail * bsize} bytes free`);
    } catch (error) {
      refused.push(messageOf(error));
    }
  }
  throw new UserError(
    "failure",
    `the tree cannot be copied for the check, which takes ${bytes} bytes (${refused.join("; ")}); set TMPDIR`,
  );
}

async function copyTree(from: string, to: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const child = Bun.spawn({
    cmd: ["cp", "-a", "--", `${from}/.`, `${to}/`],
    env: childEnvironment({ LC_ALL: "C" }),
    stdio: ["ignore", "ignore", "pipe"],
    signal,
    killSignal: "SIGKILL",
  });
  const [said, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  signal.throwIfAborted();
  if (status === 0) return;
  const why = said.trim().slice(0, SHOWN) || `cp ended with status ${status}`;
  throw new UserError("failure", `the tree cannot be copied to ${to} for the check: ${why}`);
}

/** A process in another container may use the same folder, and is not visible here. */
const ABANDONED_MS = 24 * 3_600_000;

/** Removes copies of this user's processes that were killed together with their keepers. Anybody can use their names. */
async function removeAbandoned(): Promise<void> {
  for (const folder of scratchFolders()) {
    for (const name of listFolder(folder)) {
      const pid = Number(/^llmfs-check-(\d+)-/.exec(name)?.[1] ?? Number.NaN);
      if (!(pid > 0) || isRunning(pid)) continue;
      const path = join(folder, name);
      const stats = lstatSync(path, { throwIfNoEntry: false });
      if (stats?.isDirectory() !== true || stats.uid !== process.geteuid?.()) continue;
      if (Date.now() - stats.mtimeMs > ABANDONED_MS) await removeFolder(path).catch(() => {});
    }
  }
}

/** The check may have left directories that even their owner cannot write to. */
async function removeFolder(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    const script = 'chmod -R u+rwX -- "$1" 2>/dev/null; rm -rf -- "$1"';
    const child = Bun.spawn({ cmd: ["/bin/sh", "-c", script, "sh", path], stdio: ["ignore", "ignore", "pipe"] });
    const said = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new UserError("failure", `${path} cannot be removed: ${said.trim()}`);
  }
}

/** Reads lines from this process. Exits on the line "done". If this process ends without it, kills the group and removes the copy. */
const KEEPER = `
trap '' HUP INT QUIT TERM
group=
while read -r word value; do
  case $word in
    group) group=$value ;;
    done) exit 0 ;;
  esac
done
[ -n "$group" ] && kill -9 "-$group" 2>/dev/null
chmod -R u+rwX -- "$1" 2>/dev/null
rm -rf -- "$1"
`;

class CopyGuard {
  readonly #child: Bun.Subprocess<"pipe", "ignore", "ignore">;

  constructor(path: string) {
    this.#child = Bun.spawn({
      cmd: ["/bin/sh", "-c", KEEPER, "llmfs check", path],
      cwd: "/",
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.#child.unref();
  }

  setGroup(group: number | undefined): void {
    this.#say(`group ${group ?? ""}`);
  }

  dismiss(): void {
    this.#say("done");
    this.#child.stdin.end();
  }

  #say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
    this.#child.stdin.flush();
  }
}
