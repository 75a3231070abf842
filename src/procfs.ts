/** Information about other processes from /proc. A shared leaf: of llmfs it imports only how names are printed. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import { printableLine } from "./text/printable.ts";

/** The signals of one thread, as sets with bit n-1 for signal n: proc_pid_status(5). */
export interface ThreadSignals {
  /** Signals that were sent to the thread or its process, and are neither blocked nor ignored. */
  readonly pending: bigint;
  /** Signals for which the process has installed a handler. */
  readonly caught: bigint;
}

/**
 * Returns undefined if the thread cannot be seen: it has ended, it belongs to a process namespace that is not below
 * ours, or /proc is missing, hides other users' processes, or shows another namespace than ours. Does not wait for the
 * thread.
 */
export function readThreadSignals(thread: number): ThreadSignals | undefined {
  if (thread === 0 || !showsOurNamespace()) return undefined;
  try {
    return parseThreadSignals(readFileSync(`/proc/${thread}/status`, "latin1"));
  } catch {
    return undefined;
  }
}

export function parseThreadSignals(status: string): ThreadSignals | undefined {
  const sets = /^SigPnd:\t(\w+)\nShdPnd:\t(\w+)\nSigBlk:\t(\w+)\nSigIgn:\t(\w+)\nSigCgt:\t(\w+)$/m.exec(status);
  if (sets === null) return undefined;
  const [own = 0n, shared = 0n, blocked = 0n, ignored = 0n, caught = 0n] = sets
    .slice(1)
    .map((set) => BigInt(`0x${set}`));
  return { pending: (own | shared) & ~blocked & ~ignored, caught };
}

let ours: boolean | undefined;

/** A container may have the /proc of its host, where our process ids belong to other processes. */
export function showsOurNamespace(): boolean {
  try {
    ours ??= readlinkSync("/proc/self") === String(process.pid);
  } catch {
    ours = false;
  }
  return ours;
}

/** No program has more ancestors. */
const MOST_PARENTS = 64;

/** The ids of a thread, of its process group and session, and of all its ancestors. */
export function listRelatives(thread: number): readonly number[] {
  const found: number[] = [];
  try {
    for (let at = thread, count = 0; at > 1 && count < MOST_PARENTS; count++) {
      const [, parent, group, session] = fieldsOf(readFileSync(`/proc/${at}/stat`, "latin1"));
      found.push(at, Number(group), Number(session));
      at = Number(parent);
    }
  } catch {
    // It has ended, or is not visible.
  }
  return found;
}

// The following functions return nothing for a process that has ended or is not visible.

/** All visible processes, lowest id first. */
export function listProcesses(): readonly number[] {
  return listFolder("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((one, other) => one - other);
}

export function isRunning(pid: number): boolean {
  return conditionOf(pid) !== "gone";
}

/** The processes that were started with this value of an environment variable. */
export function findProcessesWith(variable: string, value: string): readonly number[] {
  const entry = `${variable}=${value}`;
  return listProcesses().filter((pid) => readText(`/proc/${pid}/environ`).split("\0").includes(entry));
}

/** A process as text, such as "vim (4711)". */
export function nameOf(pid: number): string {
  const name = Buffer.from(readText(`/proc/${pid}/comm`), "latin1")
    .toString("utf8")
    .trim();
  return `${printableLine(name)} (${pid})`;
}

/** What /proc shows of a program. */
export interface Program {
  /** The process, not the thread. */
  readonly pid: number;
  /** Its name: proc_pid_comm(5), at most 15 bytes. */
  readonly name: string;
  /** The name of its executable. Undefined for processes of other users, unless we are root. */
  readonly file: string | undefined;
  readonly args: readonly string[];
  /** The user with whose rights it uses files. */
  readonly uid: number;
  /** The process that started it, or that took it over. */
  readonly parent: number;
}

/** The name of a thread. Undefined if the thread is not visible. */
export function readCommandName(thread: number): string | undefined {
  const name = showsOurNamespace() ? readName(`/proc/${thread}/comm`) : "";
  return name === "" ? undefined : name.trimEnd();
}

/** The program of a thread. Undefined if the thread is not visible. */
export function readProgram(thread: number): Program | undefined {
  const status = showsOurNamespace() ? readText(`/proc/${thread}/status`) : "";
  const [, tgid, parent] = /^Tgid:\t(\d+)$[\s\S]*?^PPid:\t(\d+)$/m.exec(status) ?? [];
  const [, uid] = /^Uid:\t\d+\t\d+\t\d+\t(\d+)$/m.exec(status) ?? [];
  const pid = Number(tgid ?? 0);
  const name = pid > 0 ? readCommandName(pid) : undefined;
  if (name === undefined) return undefined;
  const link = readLink(`/proc/${pid}/exe`);
  const args = Buffer.from(readText(`/proc/${pid}/cmdline`), "latin1")
    .toString("utf8")
    .split("\0");
  return {
    pid,
    name,
    file: link === "" ? undefined : link.slice(link.lastIndexOf("/") + 1),
    args: args.slice(0, -1),
    uid: Number(uid),
    parent: Number(parent),
  };
}

/** The user that a process runs as. */
export function ownerOf(pid: number): number | undefined {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
}

/** The state of a process: proc_pid_stat(5), state. */
export function conditionOf(pid: number): "stopped" | "alive" | "gone" {
  const [state = ""] = statOf(pid);
  if (state === "" || state === "Z" || state === "X") return "gone";
  return state === "T" || state === "t" ? "stopped" : "alive";
}

/** Distinguishes processes with the same id: starttime. Undefined if the process has ended. */
export function startTimeOf(pid: number): string | undefined {
  const fields = statOf(pid);
  // A zombie has released everything.
  return fields[0] === "Z" ? undefined : fields[19];
}

/**
 * How a process ended, as waitpid(2) will tell its parent, which has not asked yet. Undefined for a process that has not ended,
 * for one that ended well, and for those of other users.
 */
export function zombieStatusOf(pid: number): number | undefined {
  const fields = statOf(pid);
  // If this process may not know it, the status is 0.
  return fields[0] === "Z" ? Number(fields[49]) || undefined : undefined;
}

/** The fields of proc_pid_stat(5) after the name: state, ppid, pgrp, session, tty_nr, tpgid, … */
export function statOf(pid: number | "self"): readonly string[] {
  return fieldsOf(readText(`/proc/${pid}/stat`));
}

function fieldsOf(stat: string): readonly string[] {
  // The name, in parentheses, may contain anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).trimEnd();
  return fields === "" ? [] : fields.split(" ");
}

/** linux/capability.h */
export const CAP_SYS_ADMIN = 21;

/** One field of proc_pid_status(5), as text: "Groups", "CapEff". */
export function statusOf(pid: number | "self", field: string): string | undefined {
  return new RegExp(`^${field}:[ \\t]*(.*)$`, "m").exec(readText(`/proc/${pid}/status`))?.[1]?.trimEnd();
}

/** Whether a mask of signals or capabilities in proc_pid_status(5) has this bit; false if there is no such mask. */
export function statusHas(pid: number | "self", field: string, bit: number): boolean {
  const mask = statusOf(pid, field) ?? "";
  return /^[0-9a-f]+$/.test(mask) && (BigInt(`0x${mask}`) & (1n << BigInt(bit))) !== 0n;
}

/** The pages of memory that a process uses: proc_pid_statm(5), resident. */
export function residentPagesOf(pid: number): number {
  return Number(readText(`/proc/${pid}/statm`).split(" ")[1] ?? 0);
}

/** The open descriptors of a process; for this process they include the one used for listing them. */
export function descriptorsOf(pid: number | "self"): readonly number[] {
  return listFolder(`/proc/${pid}/fd`).map(Number);
}

/** An identifier of a process's mount namespace. */
export function mountNamespaceOf(pid: number | "self"): string {
  return readLink(`/proc/${pid}/ns/mnt`);
}

export function listFolder(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Does not follow the link, so that its target is not accessed. */
export function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** Reads a few bytes of text. Reading a whole file of unknown length takes several times as long. */
function readName(path: string): string {
  try {
    const fd = openSync(path, "r");
    try {
      return nameBytes.toString("utf8", 0, readSync(fd, nameBytes));
    } finally {
      closeSync(fd);
    }
  } catch {
    return "";
  }
}

/** More than the name of a thread has. */
const nameBytes = Buffer.alloc(64);

/** Returns bytes as Latin-1. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
