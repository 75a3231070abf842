/**
 * The guardian: a small process that outlives the one that serves a mount by just long enough to take the mount away.
 *
 * The kernel ends a FUSE connection with its server, but leaves the dead mount in the tree, where every call fails with
 * ENOTCONN. A process that is killed cannot unmount, so another one does: it sleeps on a pipe whose other end only the
 * server holds, and wakes when that is closed, for whatever reason. It also keeps a list of process groups and processes
 * that work for the mount, and ends those that are left.
 */

import { rmdirSync } from "node:fs";
import { waitUntil } from "../../abort.ts";
import * as libc from "../../libc.ts";
import { FS_TYPE, findMountAt } from "../../mountinfo.ts";
import { startTimeOf } from "../../procfs.ts";
import { ROLE, selfCommand } from "../../self.ts";
import { SLEEPER } from "./process.ts";
import { isDead, unmountPath } from "./unmount.ts";

/** After the role and the mountpoint, where the mountpoint was made for the mount and goes with it. */
export const TEMPORARY = "--temporary";

/** Between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;
const LOOK_MS = 20;

export interface Guardian {
  /** Tells which mount it is: "major:minor". */
  watch(device: string): void;
  /** A process group has begun to work for the mount, or has ended. */
  group(group: number, living: boolean): void;
  /** The same for one process, which shares its group with others. */
  process(pid: number, living: boolean): void;
  /** There is no mount to guard any more: it leaves with the last that works for it. */
  dismiss(): void;
}

/** Starts a guardian. Call it before the mount is made, so that there is no moment without one. */
export function startGuardian(mountpoint: string, temporary: boolean): Guardian {
  const child = Bun.spawn([...selfCommand(), ROLE.guardian, mountpoint, ...(temporary ? [TEMPORARY] : [])], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    cwd: "/",
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...SLEEPER },
  });
  child.unref();
  const working = new Set<number>();
  let dismissed = false;
  let left = false;
  function send(...words: string[]): void {
    if (left) return;
    child.stdin.write(`${words.join(" ")}\n`);
    child.stdin.flush();
    left = dismissed && working.size === 0;
    if (left) child.stdin.end();
  }
  function setWorking(kind: "group" | "process", pid: number, living: boolean): void {
    if (living) working.add(pid);
    else working.delete(pid);
    send(living ? kind : "gone", String(pid));
  }
  return {
    watch: (device) => send("mount", device),
    group: (group, living) => setWorking("group", group, living),
    process: (pid, living) => setWorking("process", pid, living),
    dismiss() {
      dismissed = true;
      send("dismissed");
    },
  };
}

/** The guardian's whole life. */
export async function guard(mountpoint: string, temporary: boolean): Promise<void> {
  // Out of the terminal's reach, and of whoever ends the server's process group.
  libc.setsid();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const working = new Map<number, GuardedProcess>();
  let device = "";
  let dismissed = false;
  for await (const line of console) {
    const [word, what = ""] = line.split(" ");
    if (word === "mount") device = what;
    else if (word === "group") working.set(Number(what), groupOf(Number(what)));
    else if (word === "process") working.set(Number(what), processOf(Number(what)));
    else if (word === "gone") working.delete(Number(what));
    else if (word === "dismissed") dismissed = true;
  }
  await Promise.all([endAll([...working.values()]), dismissed ? undefined : takeAway(mountpoint, device)]);
  if (temporary && !dismissed) removeEmpty(mountpoint);
}

/** What is to end with the server. */
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
        // It has become another user's (setuid), or has ended just now.
      }
    },
  };
}

/** SIGTERM, and SIGKILL for what is left two seconds later. */
async function endAll(working: readonly GuardedProcess[]): Promise<void> {
  for (const one of working) one.signal("SIGTERM");
  const living = () => working.filter((one) => one.isAlive());
  await waitUntil(() => living().length === 0, GRACE_MS, LOOK_MS);
  for (const one of living()) one.signal("SIGKILL");
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Something is in it that is not ours, or the mount could not be taken away.
  }
}

async function takeAway(mountpoint: string, device: string): Promise<void> {
  const there = findMountAt(mountpoint);
  // Killed before it could say which: whatever of ours is there is the one, as the mountpoint was free before.
  if (there?.type !== FS_TYPE || (device !== "" && there.device !== device)) return;
  // Device numbers are used again at once: what lives there is another mount, which came after ours was cleared away.
  if (!(await isDead(mountpoint))) return;
  await unmountPath(mountpoint);
}
