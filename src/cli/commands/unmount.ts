import { setTimeout as sleep } from "node:timers/promises";
import { mounts } from "../../fuse/mountinfo.ts";
import { incarnation } from "../../fuse/process.ts";
import { findHelper } from "../../fuse/unmount.ts";
import { MNT_DETACH, SystemError, umount } from "../../libc.ts";
import { command, flags } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import { holders } from "../holders.ts";
import { mountedAt, servingProcess } from "../mounted.ts";
import { createProgress } from "../progress.ts";
import { refuseUnsaved } from "../rescue.ts";

export const unmount = command({
  args: flags({
    dir: { type: "positional", required: true, description: "where the filesystem is mounted" },
    lazy: { type: "boolean", alias: "l", description: "also while programs use it: it is gone for all others at once" },
  }),
  notes: [
    "Returns when the process that served the mount has ended, its tree saved if --save was given to mount. " +
      "Where that failed the tree is in the state folder, and the error says where. " +
      "A mount whose process is dead is cleared away.",
    "`llmfs umount` is the same.",
  ],
  async run(args) {
    const mountpoint = mountedAt(args.dir);
    // As "llmfs unmount .": this very process must not keep the mount busy.
    process.chdir("/");
    const pid = servingProcess(mountpoint);
    const born = pid === undefined ? undefined : incarnation(pid);
    takeAway(mountpoint, args.dir, args.lazy);
    if (pid !== undefined && born !== undefined) {
      await gone(pid, born, args.lazy);
      refuseUnsaved(pid, args.dir);
    }
    return EXIT.ok.code;
  },
});

/** Throws CliError("busy"), or CliError("fuse") where unmounting is not ours to do. */
function takeAway(mountpoint: string, directory: string, lazy: boolean): void {
  try {
    umount(mountpoint, lazy ? MNT_DETACH : 0);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code === "EBUSY") throw busy(mountpoint, directory);
    if (error.code !== "EPERM") throw new CliError("failure", error.message, { cause: error });
    takeAwayAsUser(mountpoint, directory, lazy);
  }
}

/** fusermount3 lets users unmount what they mounted. */
function takeAwayAsUser(mountpoint: string, directory: string, lazy: boolean): void {
  const program = findHelper();
  if (program === undefined) {
    throw new CliError(
      "fuse",
      `${directory}: only root may unmount, and there is no fusermount3 to do it; install fuse3`,
    );
  }
  const { success, stderr } = Bun.spawnSync({
    cmd: [program, lazy ? "-uz" : "-u", "--", mountpoint],
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (success) return;
  const reason = stderr.toString().trim();
  if (/busy/i.test(reason)) throw busy(mountpoint, directory);
  throw new CliError("fuse", `${directory}: ${reason}`);
}

function busy(mountpoint: string, directory: string): CliError {
  const within = mounts().filter(({ path }) => path.startsWith(`${mountpoint}/`));
  const users = [...holders(mountpoint), ...within.map(({ path, type }) => `the ${type} mounted at ${path}`)];
  // A program that waits for a file to be generated has nothing open yet.
  const who = users.length === 0 ? "a program, perhaps one that waits for a file's content" : users.join(", ");
  return new CliError("busy", `${directory} is still used by ${who}; end that, or use --lazy`);
}

/** A lazily unmounted filesystem lives on for the programs that use it: those are not waited for long. */
async function gone(pid: number, born: string, lazy: boolean): Promise<void> {
  const progress = createProgress();
  const begun = performance.now();
  let shown = false;
  while (incarnation(pid) === born) {
    const waited = performance.now() - begun;
    if (lazy && waited > 1_000) break;
    if (!shown && waited > 500) {
      progress.step(
        lazy
          ? "waiting for the programs that use it"
          : "waiting for the process that served it, which saves its tree if --save was given",
      );
      shown = true;
    }
    await sleep(waited < 100 ? 2 : 20);
  }
  progress.clear();
}
