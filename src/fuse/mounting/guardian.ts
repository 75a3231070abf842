/**
 * The guardian: a small process that outlives the process that serves a mount just long enough to remove the mount.
 *
 * When the server ends, the kernel ends the FUSE connection but leaves the dead mount in the tree, where every call
 * fails with ENOTCONN. A killed process cannot unmount, so another process does. It sleeps on a pipe whose other end
 * only the server holds, and wakes up when that is closed, for whatever reason. It also keeps a list of process groups
 * and processes that work for the mount, and ends those that are left.
 *
 * It is started before the mount is made, so that the mount is guarded from its first moment. For a background mount it is started
 * only when the mount answers, because starting takes the processors that the mount needs. Until then the launcher would remove
 * the mount (removeDeadMount).
 */

import { readSync, rmdirSync } from "node:fs";
import { waitUntil } from "../../abort.ts";
import { messageOf } from "../../errno.ts";
import * as libc from "../../libc.ts";
import { FS_TYPE, findMountAt } from "../../mountinfo.ts";
import { startTimeOf, zombieStatusOf } from "../../procfs.ts";
import { ROLE, selfCommand } from "../../self.ts";
import { helperEnvironment } from "./chosen-helper.ts";
import { SERVER_ENVIRONMENT } from "./process.ts";
import { isDead, unmountPath } from "./unmount.ts";

/** Follows the role and the mountpoint if the mountpoint was created for the mount and is to be removed with it. */
export const TEMPORARY = "--temporary";

/** The time between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;
const LOOK_MS = 20;

/** What is reported about a server that ends without unmounting, and where. */
export interface CrashNotes {
  /** An absolute path. */
  readonly logFile: string;
  /** Whether each line of the log is an object of JSON. */
  readonly json: boolean;
  /** The file to which the tree is saved when the mount ends. */
  readonly save?: string;
  /** Whether the answers of the model are recorded. */
  readonly records: boolean;
}

export interface Crash extends CrashNotes {
  readonly mountpoint: string;
  readonly pid: number;
  /** As waitpid(2) reports it, if that is known. */
  readonly exitStatus?: number;
  /** Why the mount could not be removed. */
  readonly failure?: string;
}

export interface Guardian {
  /** Starts the process, unless it is running, and passes on what was reported earlier. */
  start(): void;
  /** Reports which mount to guard: "major:minor". */
  watch(device: string): void;
  /** Reports that a process group has begun to work for the mount, or has ended. Starts the process. */
  group(group: number, living: boolean): void;
  /** Like `group`, for one process that shares its group with others. */
  process(pid: number, living: boolean): void;
  /** There is no mount to guard any more: the guardian ends with the last process that works for it. */
  dismiss(): void;
}

/** The least time between two guardians that replace another. */
const REST_MS = 1000;

/** A guardian that is not running yet. If it is killed later, another takes its place. */
export function createGuardian(mountpoint: string, temporary: boolean, notes?: CrashNotes): Guardian {
  const working = new Map<number, "group" | "process">();
  let mounted: string | undefined;
  let dismissed = false;
  let left = false;
  /** Before this time, none is replaced. */
  let earliest = 0;
  /** Undefined until it is started. */
  let stdin: Bun.FileSink | undefined;

  function spawn(): Bun.FileSink {
    const child = Bun.spawn([...selfCommand(), ROLE.guardian, mountpoint, ...(temporary ? [TEMPORARY] : [])], {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
      cwd: "/",
      env: { ...helperEnvironment(), ...SERVER_ENVIRONMENT },
      onExit: replace,
    });
    child.unref();
    const lines = [
      ...(notes === undefined ? [] : [`server ${JSON.stringify({ ...notes, pid: process.pid })}`]),
      ...(mounted === undefined ? [] : [`mount ${mounted}`]),
      ...[...working].map(([pid, kind]) => `${kind} ${pid}`),
      ...(dismissed ? ["dismissed"] : []),
    ];
    write(child.stdin, ...lines);
    return child.stdin;
  }

  function start(): void {
    if (!left) stdin ??= spawn();
  }

  function replace(): void {
    if (left) return;
    const wait = earliest - performance.now();
    if (wait > 0) {
      setTimeout(replace, wait).unref();
      return;
    }
    earliest = performance.now() + REST_MS;
    try {
      stdin = spawn();
    } catch {
      // No process can be started at present.
      replace();
    }
  }

  function send(line: string): void {
    if (left) return;
    if (stdin !== undefined) write(stdin, line);
    left = dismissed && working.size === 0;
    if (left) stdin?.end();
  }

  function setWorking(kind: "group" | "process", pid: number, living: boolean): void {
    start();
    if (living) working.set(pid, kind);
    else working.delete(pid);
    send(`${living ? kind : "gone"} ${pid}`);
  }

  return {
    start,
    watch(device) {
      mounted = device;
      send(`mount ${device}`);
    },
    group: (group, living) => setWorking("group", group, living),
    process: (pid, living) => setWorking("process", pid, living),
    dismiss() {
      if (dismissed) return;
      dismissed = true;
      send("dismissed");
    },
  };
}

function write(stdin: Bun.FileSink, ...lines: readonly string[]): void {
  for (const line of lines) stdin.write(`${line}\n`);
  stdin.flush();
}

/** The guardian's main function. `report` is called if it had to unmount. */
export async function guard(
  mountpoint: string,
  temporary: boolean,
  report: (crash: Crash) => Promise<void>,
): Promise<void> {
  // Detaches from the terminal and from the server's process group.
  libc.setsid();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const working = new Map<number, GuardedProcess>();
  let device = "";
  let dismissed = false;
  let server: Server | undefined;
  for (const line of readLines()) {
    const [word, what = ""] = line.split(" ");
    if (word === "mount") device = what;
    else if (word === "group") working.set(Number(what), groupOf(Number(what)));
    else if (word === "process") working.set(Number(what), processOf(Number(what)));
    else if (word === "server") server = findServer(line.slice(word.length));
    else if (word === "gone") working.delete(Number(what));
    else if (word === "dismissed") dismissed = true;
  }
  const end = endAll([...working.values()]);
  const taken = dismissed ? undefined : await takeAway(mountpoint, device);
  if (temporary && !dismissed) removeEmpty(mountpoint);
  if (taken !== undefined && server !== undefined)
    await report({ mountpoint, ...server.notes, ...taken, ...(await askForEnd(server)) });
  await end;
}

/**
 * The lines of standard input. Reading blocks, because this process has nothing else to do; and `console` or `process.stdin`
 * would take half as long to load as the whole process.
 */
function* readLines(): Generator<string> {
  const decoder = new TextDecoder();
  const buffer = Buffer.alloc(4096);
  let rest = "";
  for (let length = readSync(0, buffer); length > 0; length = readSync(0, buffer)) {
    const lines = (rest + decoder.decode(buffer.subarray(0, length), { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

interface Server {
  readonly notes: CrashNotes & { readonly pid: number };
  /** A descriptor of the process. Undefined before Linux 5.3. */
  readonly process: number | undefined;
}

function findServer(line: string): Server {
  // createGuardian wrote the line.
  const notes: Server["notes"] = JSON.parse(line);
  try {
    return { notes, process: libc.openProcess(notes.pid) };
  } catch {
    return { notes, process: undefined };
  }
}

/** Its parent may ask at any moment how it ended, and either is known only before or only after that. */
const ASKING_MS = 500;

async function askForEnd({ notes, process: server }: Server): Promise<Pick<Crash, "exitStatus">> {
  let exitStatus: number | undefined;
  await waitUntil(
    () => {
      exitStatus = zombieStatusOf(notes.pid) ?? (server === undefined ? undefined : libc.exitStatusOf(server));
      return exitStatus !== undefined;
    },
    ASKING_MS,
    LOOK_MS,
  );
  return exitStatus === undefined ? {} : { exitStatus };
}

/** A process that is ended with the server. */
interface GuardedProcess {
  isAlive(): boolean;
  signal(name: "SIGTERM" | "SIGKILL"): void;
}

function groupOf(group: number): GuardedProcess {
  return { isAlive: () => libc.signalGroup(group, 0), signal: (name) => void libc.signalGroup(group, name) };
}

function processOf(pid: number): GuardedProcess {
  const born = startTimeOf(pid);
  const isAlive = () => born !== undefined && startTimeOf(pid) === born;
  return {
    isAlive,
    signal(name) {
      try {
        if (isAlive()) process.kill(pid, name);
      } catch {
        // It belongs to another user now (setuid), or has just ended.
      }
    },
  };
}

/** Sends SIGTERM, and two seconds later SIGKILL to those that are left. */
async function endAll(working: readonly GuardedProcess[]): Promise<void> {
  for (const one of working) one.signal("SIGTERM");
  const findLiving = () => working.filter((one) => one.isAlive());
  await waitUntil(() => findLiving().length === 0, GRACE_MS, LOOK_MS);
  for (const one of findLiving()) one.signal("SIGKILL");
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // It contains something that is not ours, or the mount could not be removed.
  }
}

/**
 * Removes the mount of a server that was killed before it had a guardian. Returns why that is impossible; undefined if no mount
 * is left.
 */
export async function removeDeadMount(mountpoint: string): Promise<string | undefined> {
  return (await takeAway(mountpoint, ""))?.failure;
}

/** Returns undefined if there is nothing to remove. */
async function takeAway(mountpoint: string, device: string): Promise<Pick<Crash, "failure"> | undefined> {
  const there = findMountAt(mountpoint);
  // The server was killed before it could name its mount. Any llmfs mount here is it, as the mountpoint was free
  // before.
  if (there?.type !== FS_TYPE || (device !== "" && there.device !== device)) return undefined;
  // Device numbers are reused at once: a live mount here was made later, after ours was removed.
  if (!(await isDead(mountpoint))) return undefined;
  try {
    await unmountPath(mountpoint);
    return {};
  } catch (error) {
    return { failure: messageOf(error) };
  }
}
