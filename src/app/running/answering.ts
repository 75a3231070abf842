/** Whether a mount answers, found out without waiting for ever for one whose process is stopped, busy or gone. */
import { setTimeout as sleep } from "node:timers/promises";
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import { isDead } from "../../fuse/mounting/unmount.ts";
import type { MountPoint } from "../../mountinfo.ts";
import { conditionOf } from "../../procfs.ts";
import { UserError } from "../errors.ts";
import { openerOf, serverOf } from "./server-process.ts";

/** A mount that is used by many answers in milliseconds. */
const DEADLINE_MS = 10_000;
/** Between two questions to a mount that is being worked with. */
const WATCH_MS = 2_000;
/** A process that is stopped is noticed sooner. */
const LOOK_MS = 1_000;

/** Mounts that have just answered, by device: many files of one are looked at together. */
const recent = new Map<string, number>();

export async function isAnswering(mount: MountPoint): Promise<"yes" | "dead" | "no"> {
  if (performance.now() - (recent.get(mount.device) ?? Number.NEGATIVE_INFINITY) < LOOK_MS) return "yes";
  const answer = await ask(mount);
  if (answer === "yes") recent.set(mount.device, performance.now());
  return answer;
}

async function ask(mount: MountPoint): Promise<"yes" | "dead" | "no"> {
  const dead = isDead(mount.path);
  for (let waited = 0; waited < DEADLINE_MS; waited += LOOK_MS) {
    const answer = await Promise.race([dead, sleep(LOOK_MS)]);
    if (answer !== undefined) return answer ? "dead" : "yes";
    const pid = processOf(mount);
    if (pid !== undefined && conditionOf(pid) === "stopped") return "no";
  }
  return "no";
}

/** Rejects with UserError("unresponsive"), which names the cure, where the mount does not answer. */
export async function requireAnswer(mount: MountPoint): Promise<void> {
  const answer = await isAnswering(mount);
  if (answer === "no") throw createUnresponsiveError(mount);
  if (answer === "dead") {
    const cure = `llmfs unmount ${shellWord(mount.path)}`;
    throw new UserError(
      "unresponsive",
      `${mount.path}: the process behind this mount has ended; clear it away with: ${cure}`,
    );
  }
}

/** Asks a mount now and then while something else goes on, and calls back once if it does not answer. */
export function watchAnswers(mount: MountPoint, sick: (error: UserError) => void): Disposable {
  let asking = false;
  const timer = setInterval(async () => {
    if (asking) return;
    asking = true;
    // Of a mount that is gone those hear who use it.
    if ((await ask(mount)) === "no") sick(createUnresponsiveError(mount));
    else asking = false;
  }, WATCH_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** For a mount that does not answer: why, and the cure. */
export function createUnresponsiveError(mount: MountPoint): UserError {
  return new UserError("unresponsive", `${mount.path} does not answer: ${diagnose(mount)}`);
}

/** What keeps the process behind a mount from answering, and what to do. `away`: the mount is taken away already. */
export function diagnose(mount: MountPoint, { away = false } = {}): string {
  const pid = processOf(mount);
  const cures = away ? [] : [`take the mount away without saving: llmfs unmount --lazy ${shellWord(mount.path)}`];
  const sentence = (reason: string, ...first: readonly string[]) =>
    `${reason}. What helps: ${[...first, ...cures].join("; or ")}`;
  if (pid === undefined) return sentence("the process behind it cannot be seen from here");
  if (conditionOf(pid) !== "stopped")
    return sentence(`process ${pid} behind it is busy`, `wait, or end it: kill -KILL ${pid}`);
  return sentence(`process ${pid} behind it is stopped`, `let it go on: kill -CONT ${pid}`);
}

/** Whether there is a process that serves it, as far as can be seen from here. */
export function isServed(mount: MountPoint): boolean {
  return processOf(mount) !== undefined;
}

function processOf(mount: MountPoint): number | undefined {
  using server = serverOf(mount);
  return server?.pid ?? openerOf(mount);
}
