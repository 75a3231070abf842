/**
 * The compiled binary on a real mount, with a model server on loopback.
 *
 * The model server runs in this process, so nothing here may wait for a pending file: programs that read are separate
 * processes, and are awaited. Operations that never wait (on a directory or a control file) may be done directly.
 */
import { describe } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Subprocess } from "bun";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";
import { mounting, programs } from "./needs.ts";
import { type Behaviour, type OpenaiServer, openaiServer, type ReceivedRequest } from "./openai-server.ts";
import {
  BINARY,
  eventually,
  type Finished,
  finished,
  isAlive,
  mountedType,
  Sandbox,
  type StartOptions,
} from "./program.ts";

export const IS_ROOT = process.getuid?.() === 0;

/** What these tests lack on this machine; undefined if they can run. Many of them use these programs. */
export const LACKING = mounting() ?? programs("getfattr", "setfattr", "python3", "git", "gcc", "make");

/** Tests that need a mount. If that is not possible they are skipped, and their name says what is missing. */
export function describeMounted(name: string, tests: () => void): void {
  describe.skipIf(LACKING !== undefined)(LACKING === undefined ? name : `${name} (lacks ${LACKING})`, tests);
}

/** The server's answer to a request for a file. */
export type FileAnswer = (path: string, request: ReceivedRequest) => Behaviour | Promise<Behaviour>;

export interface MountedOptions {
  /** Paths of pending files. */
  readonly pending?: readonly string[];
  /** A snapshot's text, instead of `pending`. */
  readonly snapshot?: string;
  /** The default contains the file's path twice. */
  readonly answer?: FileAnswer;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another server than the one in this process. */
  readonly baseUrl?: string;
}

/** The default of `answer`: the content of the file at this path. */
export function contentOf(path: string): string {
  return `content of ${path}\nagain: content of ${path}\n`;
}

/** Starts a server and creates an empty directory, without a mount. Dispose it (`await using`). */
export async function unmounted(answer?: FileAnswer): Promise<Mounted> {
  return new Mounted(new Sandbox(), await openaiServer(), answer);
}

/** Mounts. Dispose it (`await using`). */
export async function mounted(options: MountedOptions = {}): Promise<Mounted> {
  const mount = await unmounted(options.answer);
  const { sandbox } = mount;
  const snapshot = options.snapshot ?? snapshotOf(options.pending ?? []);
  writeFileSync(sandbox.at("from.json"), snapshot);
  const args = ["--from", "from.json", ...mount.modelArgs(options.baseUrl), ...(options.args ?? [])];
  await mount.mount(args, options.env === undefined ? {} : { env: options.env });
  return mount;
}

/** A snapshot with these pending files. */
export function snapshotOf(pending: readonly string[]): string {
  return structureToSnapshot(pending.map((path) => ({ path, type: "file" })));
}

/** The path of the file that a request is for; undefined if it is for a tree. */
export function pathOf(request: ReceivedRequest): string | undefined {
  const text: string = request.body.messages.at(-1).content;
  return [...text.matchAll(/^Write the file (.*)$/gm)].at(-1)?.[1];
}

/** The content of `.llmfs/status.json`. */
export interface Status {
  readonly pid: number;
  readonly files: Record<string, number>;
  readonly inodes: number;
  readonly bytes: number;
  readonly generating: number;
  readonly requests: Record<string, number>;
  /** Files that are being generated and wait for others. */
  readonly waiting: readonly { readonly path: string; readonly waitsFor: readonly string[] }[];
}

export class Mounted implements AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly server: OpenaiServer;
  readonly dir: string;
  /** May be replaced at any time; applies to later requests. */
  answer: FileAnswer;
  /** How often status.json was read since the mount. */
  #looks = 0;
  /** The server's answer to a request for a tree. */
  tree: Behaviour = { status: 400 };

  constructor(sandbox: Sandbox, server: OpenaiServer, answer: FileAnswer = (path) => ({ stream: contentOf(path) })) {
    this.sandbox = sandbox;
    this.server = server;
    this.dir = sandbox.directory("mnt");
    this.answer = answer;
    server.script((request) => {
      const path = pathOf(request);
      return path === undefined ? this.tree : this.answer(path, request);
    });
  }

  /** Flags that make llmfs use the server. */
  modelArgs(baseUrl = this.server.baseUrl): readonly string[] {
    return ["--base-url", baseUrl, "--model", "scripted"];
  }

  /** Mounts at `dir`. Throws if that fails. */
  async mount(args: readonly string[], options: StartOptions = {}): Promise<void> {
    this.#looks = 0;
    const done = await this.sandbox.llmfs(["mount", this.dir, ...args], { program: BINARY, ...options });
    if (done.status !== 0) throw new Error(`mount: status ${done.status}: ${done.stderr}`);
  }

  async unmount(...flags: string[]): Promise<Finished> {
    return this.sandbox.llmfs(["unmount", this.dir, ...flags], { program: BINARY });
  }

  /** Starts a shell script, by default in the mount's root. */
  start(script: string, cwd = this.dir): Subprocess<"pipe", "pipe", "pipe"> {
    const child = Bun.spawn({
      cmd: ["/bin/sh", "-c", script],
      cwd,
      env: this.sandbox.environment({ LC_ALL: "C", OUT: this.sandbox.path }),
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.end();
    return child;
  }

  /** Runs a shell script to its end. */
  async sh(script: string, cwd = this.dir): Promise<Finished> {
    return finished(this.start(script, cwd));
  }

  /** Returns the output of a shell script; throws if it fails. */
  async out(script: string): Promise<string> {
    const { status, stdout, stderr } = await this.sh(script);
    if (status !== 0) throw new Error(`${script}: status ${status}: ${stderr}`);
    return stdout;
  }

  /** An extended attribute of a file, without the prefix `user.llmfs.`. */
  async xattr(path: string, name: string): Promise<string> {
    return this.out(`getfattr --only-values -n user.llmfs.${name} '${path}'`);
  }

  state(path: string): Promise<string> {
    return this.xattr(path, "state");
  }

  /** The number of requests for this file. */
  asked(path: string): number {
    return this.server.requests.filter((request) => pathOf(request) === path).length;
  }

  /** The content of `.llmfs/status.json`. */
  status(): Status {
    const text = readFileSync(`${this.dir}/.llmfs/status.json`, "utf8");
    this.#looks += 1;
    return JSON.parse(text);
  }

  /** Resolves when at least `count` opens have reached the filesystem since it was mounted. */
  async opened(count: number): Promise<void> {
    // Each read of status.json is an open of its own.
    await eventually(`${count} opens`, () => (this.status().requests.open ?? 0) - this.#looks >= count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (mountedType(this.dir) !== undefined) await this.unmount("--lazy");
      for (const pid of processesOf(this.dir)) process.kill(pid, "SIGKILL");
      await eventually("the mount is gone", () => mountedType(this.dir) === undefined);
    } finally {
      this.sandbox[Symbol.dispose]();
      await this.server[Symbol.asyncDispose]();
    }
  }
}

/** The processes behind a mount in the background: the server and its guardian. */
export function processesOf(dir: string, role?: "--daemon" | "--guardian"): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const [, first, second] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        const ours = first === "--daemon" || first === "--guardian";
        return ours && (role === undefined || first === role) && second === dir && isAlive(pid);
      } catch {
        return false;
      }
    });
}

/** Kills the process behind a mount and its guardian, so that a dead mount stays. */
export async function killBoth(dir: string): Promise<void> {
  const all = processesOf(dir);
  // Neither sees the other one end: the guardian would remove the mount, and the server would start another guardian.
  for (const pid of all) process.kill(pid, "SIGSTOP");
  for (const pid of all) process.kill(pid, "SIGKILL");
  await eventually("both are gone", () => !all.some(isAlive));
}

/** An answer that waits until the gate is opened. */
export class Gate {
  readonly #open = Promise.withResolvers<void>();

  /** Answers like `then`, once `open` was called. */
  holds(then: FileAnswer = (path) => ({ stream: contentOf(path) })): FileAnswer {
    return async (path, request) => {
      await this.#open.promise;
      return then(path, request);
    };
  }

  open(): void {
    this.#open.resolve();
  }
}
