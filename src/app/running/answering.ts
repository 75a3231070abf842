/** Finds out whether a mount answers, without blocking on a mount whose process is stopped, busy or gone. */
import { pause } from "../../abort.ts";
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import { isDead } from "../../fuse/mounting/unmount.ts";
import type { MountPoint } from "../../mountinfo.ts";
import { conditionOf } from "../../procfs.ts";
import { UserError } from "../errors.ts";
import { openerOf, serverOf } from "./server-process.ts";

/** How long a mount may take to answer. A busy mount normally answers in milliseconds. */
const DEADLINE_MS = 10_000;
/** The interval at which a mount in use is asked. */
const WATCH_MS = 2_000;
/** The interval at which to check for a stopped process, which is noticed before the deadline. */
const LOOK_MS = 1_000;

/** Mounts that have just answered, by device, so that checking many files of a mount asks it only once. */
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
    const answer = await Promise.race([dead, pause(LOOK_MS)]);
    if (answer !== undefined) return answer ? "dead" : "yes";
    const pid = processOf(mount);
    if (pid !== undefined && conditionOf(pid) === "stopped") return "no";
  }
  return "no";
}

/** Rejects with UserError("unresponsive"), which includes the fix, if the mount does not answer. */
export async function requireAnswer(mount: MountPoint): Promise<void> {
  const answer = await isAnswering(mount);
  if (answer === "no") throw createUnresponsiveError(mount);
  if (answer === "dead") {
    const cure = `llmfs unmount ${shellWord(mount.path)}`;
    throw new UserError(
      "unresponsive",
      `${mount.path}: the process behind this mount has ended; to remove the mount, run: ${cure}`,
    );
  }
}

/** Asks a mount at intervals, and calls back once if it does not answer. */
export function watchAnswers(mount: MountPoint, sick: (error: UserError) => void): Disposable {
  let asking = false;
  const timer = setInterval(async () => {
    if (asking) return;
    asking = true;
    // A mount that is gone is reported by the operation that uses it.
    if ((await ask(mount)) === "no") sick(createUnresponsiveError(mount));
    else asking = false;
  }, WATCH_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Waits for work in a mount. Rejects with UserError("unresponsive") if the mount stops answering in the meantime. */
export async function whileAnswering<T>(mount: MountPoint | undefined, work: Promise<T>): Promise<T> {
  const sick = Promise.withResolvers<never>();
  sick.promise.catch(() => {});
  work.catch(() => {});
  using _ = mount && watchAnswers(mount, sick.reject);
  return await Promise.race([work, sick.promise]);
}

/** The error for a mount that does not answer: the reason and the fix. */
export function createUnresponsiveError(mount: MountPoint): UserError {
  return new UserError("unresponsive", `${mount.path} does not answer: ${diagnose(mount)}`);
}

/** Explains why the process behind a mount does not answer, and what to do. `away`: the mount is already unmounted. */
export function diagnose(mount: MountPoint, { away = false } = {}): string {
  const pid = processOf(mount);
  const cures = away ? [] : [`unmount without saving: llmfs unmount --lazy ${shellWord(mount.path)}`];
  const sentence = (reason: string, ...first: readonly string[]) =>
    `${reason}. To fix this, ${[...first, ...cures].join("; or ")}`;
  if (pid === undefined) return sentence("the process behind it is not visible from here");
  if (conditionOf(pid) !== "stopped")
    return sentence(`process ${pid} behind it is busy`, `wait, or end it: kill -KILL ${pid}`);
  return sentence(`process ${pid} behind it is stopped`, `resume it: kill -CONT ${pid}`);
}

/** Whether a process serves the mount, as far as visible from here. */
export function isServed(mount: MountPoint): boolean {
  return processOf(mount) !== undefined;
}

function processOf(mount: MountPoint): number | undefined {
  using server = serverOf(mount);
  return server?.pid ?? openerOf(mount);
}
