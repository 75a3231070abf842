import { setTimeout as sleep } from "node:timers/promises";
import { UsageError, UserError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { resolveRealPath } from "../../../app/mountpoint.ts";
import { createUnresponsiveError, isAnswering } from "../../../app/running/answering.ts";
import { ControlClient } from "../../../app/running/control-client.ts";
import { findCurrentMount, findMount } from "../../../app/running/find-mount.ts";
import { describeProblem, type SaveOutcome } from "../../../app/running/mount-record.ts";
import { hasUnsavedWrites } from "../../../app/running/mount-status.ts";
import { requireMountAt } from "../../../app/running/mounted.ts";
import {
  lateServerOf,
  mounterOf,
  openerOf,
  type ServerProcess,
  serverOf,
} from "../../../app/running/server-process.ts";
import { isThere, takeAway, takeAwayPatiently } from "../../../app/running/take-away.ts";
import { parseTimeLimit } from "../../../app/settings/values.ts";
import { shellWord } from "../../../fuse/mounting/mountpoint.ts";
import { isAdministrator } from "../../../fuse/mounting/unmount.ts";
import { type MountPoint, readMounts } from "../../../mountinfo.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { isTerminal, say, showJson } from "../../output/terminal.ts";
import { createVersionError, Departure, late } from "../../process/departure.ts";

export const unmount = defineCommand({
  args: defineFlags({
    dir: {
      type: "positional",
      required: false,
      description: "the mount; with --lazy, default: the mount that contains the current directory",
    },
    lazy: {
      type: "boolean",
      alias: "l",
      description:
        "unmount even if programs use the mount or its process does not answer; nobody else can enter it from then on",
    },
    timeout: {
      type: "string",
      valueHint: "TIME",
      description: "give up after this long without progress, such as 30s or 5m; default: 30s",
    },
    json: { type: "boolean", description: "print what was unmounted as JSON" },
  }),
  unasked: ["dir"],
  notes: [
    "If mount was given --save, the tree is saved first. If the file cannot be written, the tree is saved in the state folder, " +
      "and the error says where. If that fails too, the mount stays, and the error says why. Both exit with status " +
      `${EXIT.save.code}. Returns when the process that served the mount has ended.`,
    "Success means that the process has reported the tree as saved. If there is no report, because the process was killed, " +
      "is stopped, has ended earlier or is another version of llmfs, the exit status is " +
      `${EXIT.save.code}. A dead mount is removed in any case.`,
    "If the same filesystem is also mounted elsewhere (another mount namespace, a bind mount), DIR is unmounted and the tree " +
      `saved, and the error names the other places and how to unmount them (status ${EXIT.busy.code}).`,
    "--lazy does not wait for the filesystem. It unmounts first and saves then; later changes are saved when the last " +
      "program has left.",
    "`llmfs umount` is an alias.",
  ],
  async run(args) {
    const patienceMs = parseTimeLimit("--timeout", args.timeout ?? "30s", 1000);
    const name = args.dir ?? findMountToLeave(args.lazy);
    const mount = mountOf(name);
    // After `llmfs unmount .`, this process would otherwise keep the mount busy itself.
    process.chdir("/");
    using server = serverOf(mount);
    const lost = args.lazy || !isTerminal() ? undefined : await describeUnsaved(mount, server);
    let outcome: SaveOutcome | undefined;
    if (server !== undefined && isCopy(mount, server)) takeAway(mount, name, args.lazy);
    else if (server === undefined) outcome = await unmountWithoutServer(mount, name, args.lazy, patienceMs);
    else if (args.lazy) outcome = await unmountLazily(new Departure({ mount, name, server, patienceMs, lazy: true }));
    else outcome = await unmountProperly(new Departure({ mount, name, server, patienceMs, lazy: false }));
    const saved = outcome?.kind === "saved" ? outcome.file : undefined;
    if (args.json) showJson({ mountpoint: mount.path, saved });
    if (lost !== undefined) say(lost);
    return EXIT.ok.code;
  },
});

/** The mount that contains the current directory. Throws UserError, as the caller's shell keeps that mount busy. */
function findMountToLeave(lazy: boolean): string {
  const path = findCurrentMount()?.mount.path;
  if (path === undefined) throw new UsageError("DIR is missing");
  if (lazy) return path;
  throw new UserError(
    "busy",
    `the current directory is in ${path}, which your shell keeps busy; leave it first: cd / && llmfs unmount ${shellWord(path)}`,
  );
}

/** For a person: what was written into a mount that is not saved. Generated content is recorded and can be had again. */
async function describeUnsaved(mount: MountPoint, server: ServerProcess | undefined): Promise<string | undefined> {
  if (server?.record === undefined || server.record.save !== undefined || isCopy(mount, server)) return undefined;
  if (!(await hasUnsavedWrites(mount.path).catch(() => false))) return undefined;
  const next = 'run "llmfs save DIR FILE" first, or mount with --save FILE';
  return `files that were written by hand or by programs are not saved; next time, ${next}`;
}

/** Whether this is a bind mount, so that the original mount stays. */
function isCopy(mount: MountPoint, { record }: ServerProcess): boolean {
  if (record === undefined || record.mountpoint === mount.path) return false;
  return readMounts().some(({ path, device }) => path === record.mountpoint && device === mount.device);
}

/** Throws UserError, for example if the filesystem is already unmounted but its process has not finished saving. */
function mountOf(directory: string): MountPoint {
  try {
    return requireMountAt(directory);
  } catch (error) {
    if (!(error instanceof UserError) || error.exit !== "notMounted") throw error;
    // Of a place in another mount the kernel would ask that one, which may not answer.
    const inside = findMount(directory) !== undefined;
    using server = lateServerOf(inside ? absolutePath(directory) : resolveRealPath(directory));
    throw server === undefined ? error : late(server, directory);
  }
}

async function unmountProperly(departure: Departure): Promise<SaveOutcome> {
  const away = `save it elsewhere (llmfs save ${shellWord(departure.name)} FILE) and run: kill -KILL ${departure.pid}`;
  const outcome = await departure.save();
  refuseUnsaved(outcome, departure.name, away);
  await takeAwayPatiently(departure.mount, departure.name);
  await departure.end();
  return outcome;
}

async function unmountLazily(departure: Departure): Promise<SaveOutcome> {
  takeAway(departure.mount, departure.name, true);
  const outcome = await departure.save();
  await departure.waitForDetach();
  return outcome;
}

/** For a mount whose process has ended, is another version, or is not visible from here. */
async function unmountWithoutServer(
  mount: MountPoint,
  name: string,
  lazy: boolean,
  patienceMs: number,
): Promise<SaveOutcome> {
  const other = openerOf(mount);
  if (!isThere(mount)) throw new UserError("notMounted", `${name} has just been unmounted by another process`);
  const mounter = mounterOf(mount);
  // The kernel shows nobody else's processes to ordinary users, nor lets them unmount.
  if (mounter !== process.geteuid?.() && !isAdministrator()) {
    throw new UserError("fuse", `${name} was mounted by user ${mounter}; only that user and root can unmount it`);
  }
  if (lazy) {
    takeAway(mount, name, true);
    const who =
      other === undefined ? "has ended or is not visible from here" : `(${other}) is another version of llmfs`;
    throw new UserError(
      "save",
      `${name} is unmounted. The process that served it ${who}, so its tree may not be saved`,
    );
  }
  const answer = await isAnswering(mount);
  if (answer === "no") throw createUnresponsiveError(mount);
  if (answer === "dead") {
    takeAway(mount, name, false);
    const lost = "unsaved changes are lost";
    throw new UserError(
      "save",
      `removed the dead mount ${name}. The process that served it had ended without reporting a save; ${lost}`,
    );
  }
  const outcome = await saveThroughMount(mount, name, patienceMs, other);
  refuseUnsaved(outcome, name, "use --lazy");
  await takeAwayPatiently(mount, name);
  const problem = describeProblem(outcome);
  if (problem !== undefined) throw new UserError("save", `${name}: ${problem}`);
  return outcome;
}

function refuseUnsaved(outcome: SaveOutcome, name: string, otherwise: string): void {
  if (outcome.kind !== "failed") return;
  const problem = describeProblem(outcome);
  throw new UserError("save", `${name} stays mounted because ${problem}. Fix that and try again, or ${otherwise}`);
}

/** For a process without a mount record, or in another container: sends the request through the mount itself. */
async function saveThroughMount(
  mount: MountPoint,
  name: string,
  patienceMs: number,
  pid: number | undefined,
): Promise<SaveOutcome> {
  try {
    await using client = await ControlClient.open(mount.path);
    const outcome = await Promise.race([client.save(), sleep(patienceMs)]);
    if (outcome === undefined) throw createUnresponsiveError(mount);
    return outcome;
  } catch (error) {
    if (error instanceof UserError && error.exit === "unresponsive") throw error;
    // Another version: it has no such file, or does not know this request.
    throw createVersionError(name, pid, error);
  }
}
