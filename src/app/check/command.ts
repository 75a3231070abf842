/**
 * Runs the command of a check in a private copy: within limits of time and of space, with all that it starts ended
 * afterwards, and with the end of its output kept.
 *
 * The command's parent is a shell, so a command that kills its parent does not end the check. The shell leads a process
 * group; a process that leaves the group is found by a variable in its environment.
 */
import { statfsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ProcessGroups } from "../../generators/workers/process-groups.ts";
import { findProcessesWith } from "../../procfs.ts";
import { formatTimeSpan, secondsSince } from "../../text/duration.ts";
import { childEnvironment } from "../settings/settings.ts";
import type { PrivateCopy } from "./private-copy.ts";

export interface CommandOptions {
  readonly command: readonly string[];
  readonly copy: Pick<PrivateCopy, "path" | "bytes" | "guard">;
  readonly timeoutMs: number;
  /** How many bytes it may write into the copy. */
  readonly space: number;
  readonly signal: AbortSignal;
  /** Gets the output as it comes. */
  readonly onOutput: (bytes: Uint8Array) => void;
}

export interface CommandRun {
  /** As a shell reports it; that of timeout(1) if it took too long. Never 0 if the command was stopped. */
  readonly status: number;
  /** In words: "exit status 2". */
  readonly ending: string;
  readonly stopped?: "time" | "space" | "disk";
  /** Set if the command does not exist. */
  readonly notFound?: true;
  /** The end of what it printed, as text, with paths as they are in the mount. */
  readonly output: string;
  readonly seconds: number;
}

const TIMED_OUT = 124;
const KILLED = 137;
const NOT_FOUND = 127;

/** How often to look at the space. */
const LOOK_MS = 200;
/** How long to wait for the rest of the output when the command has ended: something may hold the pipe open. */
const REST_MS = 300;
/** A request to the mount has at most 512 KiB, and JSON may take six bytes for one. */
const KEPT_BYTES = 64 * 1024;
/** In the environment of the command, with a value of its own. */
const MARK = "LLMFS_CHECK";

/**
 * Waits for a line, and changes into the copy. The last command keeps the shell from replacing itself by the command. If
 * llmfs is killed before it has written the line, nothing runs.
 */
const SHELL = 'read -r _ || exit; exec < /dev/null; cd -- "$1" || exit; shift; "$@" 2>&1; exit $?';

/** Rejects with the signal's reason once all processes of the command have ended. */
export async function runCommand(options: CommandOptions): Promise<CommandRun> {
  const { command, copy, signal, timeoutMs } = options;
  signal.throwIfAborted();
  const begun = performance.now();
  const mark = crypto.randomUUID();
  await using groups = new ProcessGroups();
  const child = Bun.spawn({
    cmd: ["/bin/sh", "-c", SHELL, "llmfs check", copy.path, ...command],
    env: childEnvironment({ [MARK]: mark, LLMFS_MOUNT: copy.path }),
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  groups.add(child);
  copy.guard(child.pid);
  // Only now does the command run: it may kill this process at once.
  child.stdin.write("\n");
  void child.stdin.end();
  const output = new OutputTail(options.onOutput);
  const reading = Promise.all([output.read(child.stdout), output.read(child.stderr)]);
  let stopped: CommandRun["stopped"];
  const end = (why?: CommandRun["stopped"]) => {
    stopped ??= why;
    void groups.end(child.pid);
  };
  const onAbort = () => end();
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => end("time"), timeoutMs);
  const meter = new SpaceMeter(copy.path, copy.bytes + options.space);
  const look = async () => {
    if (meter.isFull()) end("disk");
    else if (await meter.isOver()) end("space");
  };
  const looks = setInterval(() => void look(), LOOK_MS);
  try {
    await child.exited;
    // What the command left behind in its group is ended before the rest of its output is waited for.
    await groups.end(child.pid);
    for (const pid of findProcessesWith(MARK, mark)) kill(pid);
    await Promise.race([reading, sleep(REST_MS)]);
  } finally {
    clearTimeout(timer);
    clearInterval(looks);
    signal.removeEventListener("abort", onAbort);
    output.close();
    copy.guard(undefined);
  }
  signal.throwIfAborted();
  const status = child.signalCode === null ? (child.exitCode ?? 1) : KILLED;
  if (stopped === undefined && status !== 0 && meter.isFull()) stopped = "disk";
  return {
    ...describeEnd(status, child.signalCode, stopped, options),
    ...(stopped !== undefined && { stopped }),
    ...(status === NOT_FOUND && Bun.which(command[0] ?? "", { cwd: copy.path }) === null && { notFound: true }),
    output: output.text(copy.path),
    seconds: secondsSince(begun),
  };
}

function describeEnd(
  status: number,
  signalCode: string | number | null,
  stopped: CommandRun["stopped"],
  { timeoutMs, space }: CommandOptions,
): Pick<CommandRun, "status" | "ending"> {
  if (stopped === "time") {
    return { status: TIMED_OUT, ending: `it did not end within ${formatTimeSpan(timeoutMs)} and was stopped` };
  }
  if (stopped !== undefined) {
    const why = stopped === "disk" ? "the disk is full" : `it wrote more than ${formatSize(space)}`;
    return { status: status === 0 ? 1 : status, ending: `${why}, so it was stopped` };
  }
  if (signalCode !== null) return { status, ending: `it ended the shell that ran it, with ${signalCode}` };
  if (status > 128 && status < 128 + 65) return { status, ending: `exit status ${status} (signal ${status - 128})` };
  return { status, ending: `exit status ${status}` };
}

function formatSize(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${Math.round(bytes / 2 ** 30)} GiB`;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** Passes output on and keeps its end. */
class OutputTail {
  readonly #onOutput: (bytes: Uint8Array) => void;
  #kept: Uint8Array[] = [];
  #length = 0;
  #cut = false;
  readonly #cancels: (() => Promise<void>)[] = [];

  constructor(onOutput: (bytes: Uint8Array) => void) {
    this.#onOutput = onOutput;
  }

  async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const reader = stream.getReader();
    this.#cancels.push(() => reader.cancel());
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#onOutput(value);
      this.#kept.push(value);
      this.#length += value.length;
      if (this.#length > 2 * KEPT_BYTES) this.#drop();
    }
  }

  close(): void {
    for (const cancel of this.#cancels) cancel().catch(() => {});
  }

  /** Without escape sequences; paths in the copy become paths in the mount. */
  text(copy: string): string {
    this.#drop();
    const text = Bun.stripANSI(new TextDecoder().decode(Buffer.concat(this.#kept)));
    const begun = this.#cut ? text.slice(text.indexOf("\n") + 1) : text;
    return begun.replaceAll(`${copy}/`, "").replaceAll(copy, ".");
  }

  #drop(): void {
    if (this.#length <= KEPT_BYTES) return;
    const all = Buffer.concat(this.#kept).subarray(-KEPT_BYTES);
    this.#kept = [all];
    this.#length = all.length;
    this.#cut = true;
  }
}

/** Watches the space that a copy takes on its disk. */
class SpaceMeter {
  readonly #path: string;
  readonly #most: number;
  readonly #before: number;
  /** The space used on the disk at the last measurement of the copy itself. */
  #measured = 0;
  #measuring = false;

  /** `most` is for the whole copy. */
  constructor(path: string, most: number) {
    this.#path = path;
    this.#most = most;
    this.#before = this.#free().bytes;
  }

  /** Other programs use the disk too, so the copy is measured before the command is stopped. */
  async isOver(): Promise<boolean> {
    const used = this.#before - this.#free().bytes;
    if (this.#measuring || used - this.#measured < this.#most / STEPS) return false;
    this.#measuring = true;
    try {
      const size = await measure(this.#path);
      this.#measured = used;
      return size > this.#most;
    } finally {
      this.#measuring = false;
    }
  }

  isFull(): boolean {
    const { bytes, whole } = this.#free();
    return bytes < Math.min(RESERVE, whole * RESERVED_SHARE) && bytes < this.#before;
  }

  #free(): { readonly bytes: number; readonly whole: number } {
    const { bavail, blocks, bsize } = statfsSync(this.#path);
    return { bytes: bavail * bsize, whole: blocks * bsize };
  }
}

/** The copy is measured again when the disk has lost another part of what the copy may take. */
const STEPS = 8;
/** The rest of the disk belongs to others. */
const RESERVE = 128 * 2 ** 20;
const RESERVED_SHARE = 0.02;

/** How many bytes a folder takes on disk. Names that vanish in the meantime do not matter. */
async function measure(folder: string): Promise<number> {
  const child = Bun.spawn({ cmd: ["du", "-skx", "--", folder], stdio: ["ignore", "pipe", "ignore"] });
  return Number.parseInt(await new Response(child.stdout).text(), 10) * 1024 || 0;
}
