/**
 * Runs llmfs as a person does: in a process of its own, with an environment of its own.
 *
 * That is the compiled binary, which `npm test` builds; and the sources, which take three times as long, in tests about
 * that.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { MNT_DETACH, umount } from "../../src/libc.ts";
import { readMounts } from "../../src/mountinfo.ts";

const ROOT = join(import.meta.dir, "../..");

export const SOURCE: readonly string[] = [process.execPath, join(ROOT, "src/main.ts")];
export const BINARY: readonly string[] = [join(ROOT, "dist/llmfs")];

/** Both ways to start llmfs, for `test.each`. */
export const PROGRAMS = [
  ["from source", SOURCE],
  ["the compiled binary", BINARY],
] as const;

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly program?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
}

/** A folder for a test's mountpoints, state and files. Disposing it leaves nothing mounted in it. */
export class Sandbox implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "llmfs-test-"));
  readonly #children: Subprocess[] = [];

  /** Returns a path in the folder. */
  at(name: string): string {
    return join(this.path, name);
  }

  /** Creates an empty directory in the folder. */
  directory(name: string): string {
    mkdirSync(this.at(name));
    return this.at(name);
  }

  /** Omits everything that this process's own environment says about models, prompts and places. */
  environment(added: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      PATH: process.env.PATH ?? "/usr/bin:/bin:/usr/sbin:/sbin",
      HOME: this.path,
      XDG_STATE_HOME: this.at("state"),
      TMPDIR: this.path,
      // Tests write the configurations that they use.
      LLMFS_TRUST: this.path,
      ...added,
    };
  }

  start(args: readonly string[], options: StartOptions = {}): Subprocess<"pipe", "pipe", "pipe"> {
    const program = options.program ?? BINARY;
    if (program === BINARY && !existsSync(BINARY[0] ?? "")) throw new Error("dist/llmfs is not there: npm run build");
    const child = Bun.spawn({
      cmd: [...program, ...args],
      cwd: options.cwd ?? this.path,
      env: this.environment(options.env),
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#children.push(child);
    if (options.stdin !== undefined) child.stdin.write(options.stdin);
    child.stdin.end();
    return child;
  }

  /** Starts llmfs and waits for its end. */
  async llmfs(args: readonly string[], options: StartOptions = {}): Promise<Finished> {
    return finished(this.start(args, options));
  }

  /** The temporary mountpoints of `run` and `demo` that exist. */
  leftovers(): readonly string[] {
    return readdirSync(this.path).filter((name) => /^llmfs-/.test(name));
  }

  log(): string {
    try {
      return readFileSync(this.at("state/llmfs/llmfs.log"), "utf8");
    } catch {
      return "";
    }
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill("SIGKILL");
    for (const { path } of readMounts().toReversed()) {
      if (path.startsWith(`${this.path}/`)) takeAway(path);
    }
    rmSync(this.path, { recursive: true, force: true, maxRetries: 5 });
  }
}

function takeAway(mountpoint: string): void {
  try {
    umount(mountpoint, MNT_DETACH);
  } catch {
    Bun.spawnSync(["fusermount3", "-uz", mountpoint]);
  }
}

export async function finished(child: Subprocess<"pipe", "pipe", "pipe">): Promise<Finished> {
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const status = await child.exited;
  return { status: child.signalCode === null ? status : -1, stdout, stderr };
}

/** The type of the mount at a path: "fuse.llmfs" for one of ours; undefined for none. */
export function mountedType(path: string): string | undefined {
  return readMounts().findLast((mount) => mount.path === path)?.type;
}

/** Checks repeatedly until the condition holds. Throws after ten seconds, or the given time. */
export async function eventually(what: string, holds: () => boolean, milliseconds = 10_000): Promise<void> {
  for (const until = performance.now() + milliseconds; !holds(); await Bun.sleep(10)) {
    if (performance.now() > until) throw new Error(`timed out while waiting until ${what}`);
  }
}

/** A process that is stopped until this is disposed. */
export interface StoppedProcess extends Disposable {
  readonly pid: number;
  resume(): void;
}

/**
 * Returns when every thread is stopped, which takes a while under load: a thread that accepts a request until then leaves
 * a program that no signal ends.
 */
export function stopProcess(pid: number): StoppedProcess {
  process.kill(pid, "SIGSTOP");
  while (!threadStates(pid).every((state) => state === "T")) Bun.sleepSync(1);
  const resume = () => {
    if (isAlive(pid)) process.kill(pid, "SIGCONT");
  };
  return { pid, resume, [Symbol.dispose]: resume };
}

function threadStates(pid: number): readonly (string | undefined)[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1");
    return stat[stat.lastIndexOf(")") + 2];
  });
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie is dead, although its parent has not reaped it yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
