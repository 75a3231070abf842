/**
 * A background mount: two processes of this program, and the messages between them.
 *
 * The launcher starts the daemon, checks the command line in the meantime, sends the configuration and waits. The daemon
 * does all the work and writes to the launcher's standard error. It reports "ready" when the mount answers, or the reason
 * of a failure, and then detaches from the terminal. Until then, each process notices the death of the other by the end of
 * their channel (Bun's IPC, a socket pair), so that neither hangs and no half-made mount is left: the daemon unmounts, and the
 * launcher removes the dead mount of a daemon that was killed.
 */

import { statSync } from "node:fs";
import { absolutePath } from "../../app/machine/current-directory.ts";
import { daemonEnvironment } from "../../app/settings/proxies.ts";
import type { Config } from "../../app/settings/settings.ts";
import { ROLE, selfCommand } from "../../self.ts";
import { EXIT, type Explanation } from "../output/exit-codes.ts";

/** Longer than a mount that is ended by a signal waits for programs that still use it: see shutdown.ts. */
const PATIENCE_MS = 10_000;

/** How long a process that no longer takes messages may need to end. */
const ENDING_MS = 1000;

/** Launcher → daemon, once. */
export interface Assignment {
  readonly config: Config;
  readonly mountpoint: string;
}

/** Daemon → launcher, once. */
export type LaunchOutcome =
  | { readonly outcome: "ready"; readonly pid: number; readonly status: number }
  | ({ readonly outcome: "failed" } & Explanation);

export interface Launch extends AsyncDisposable {
  /** Resolves with the daemon's pid and the exit status when the mount answers and is warm. After a UserError, nothing is mounted. */
  mount(assignment: Assignment): Promise<{ pid: number; status: number }>;
}

/** The daemon that `launchEarly` has started. */
let early: { readonly directory: string; readonly launch: Launch } | undefined;

/**
 * Starts the daemon before the arguments of `mount` are read, if they begin with the directory and nothing suggests that
 * none is needed. `launch` takes it over; otherwise `discardEarly` ends it.
 */
export function launchEarly([first = "-", ...others]: readonly string[]): void {
  if (first.startsWith("-") || others.some((word) => /^(-[^-]*[fh]|--(foreground|help)\b)/.test(word))) return;
  const directory = pathIfPossible(first);
  if (directory !== undefined) early = { directory, launch: start(directory) };
}

/** Undefined if `mount` will report that there is no such path. */
function pathIfPossible(path: string): string | undefined {
  try {
    return absolutePath(path);
  } catch {
    return undefined;
  }
}

export async function discardEarly(): Promise<void> {
  const { launch } = early ?? {};
  early = undefined;
  await launch?.[Symbol.asyncDispose]();
}

/** Starts the daemon, or takes over the one that has been started for the same directory, which is an absolute path. */
export async function launch(directory: string): Promise<Launch> {
  if (early?.directory !== directory) await discardEarly();
  const launched = early?.launch ?? start(directory);
  early = undefined;
  return launched;
}

/**
 * Starts the daemon. It mounts nothing before it has an assignment, and ends if this is disposed without one. `directory`
 * is for the eyes of `ps` only.
 */
function start(directory: string): Launch {
  const told = Promise.withResolvers<LaunchOutcome | { readonly outcome: "died" }>();
  let assigned = false;
  const daemon = Bun.spawn({
    cmd: [...selfCommand(), ROLE.daemon, directory],
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
    env: daemonEnvironment(),
    serialization: "advanced",
    ipc: (message: unknown) => {
      if (isOutcome(message)) told.resolve(message);
    },
    onExit: () => told.resolve({ outcome: "died" }),
  });
  /** Whether the daemon has ended, or does so soon. */
  const endsWithin = (ms: number) => Promise.race([daemon.exited.then(() => true), Bun.sleep(ms).then(() => false)]);
  /** The error for a daemon that has ended without a reason of its own. Removes its mount. `when`: relative to "ready". */
  const explainDeath = async (mountpoint: string, when: string) => {
    const { removeDeadMount } = await import("../../fuse/mounting/guardian.ts");
    const problem = await removeDeadMount(mountpoint);
    const { signalCode, exitCode } = daemon;
    const how = signalCode === null ? `ended with status ${exitCode}` : `was killed (${signalCode})`;
    const left = problem === undefined ? "" : `; its mount could not be removed: ${problem}`;
    const message = `the process that serves the mount ${how} ${when} it was ready${left}`;
    return new MountFailed({ status: EXIT.failure.code, message });
  };
  return {
    async mount(assignment) {
      assigned = true;
      const { Interrupted, onSignals } = await import("./signals.ts");
      let interrupted: string | undefined;
      // On a terminal the daemon receives Ctrl-C itself. A signal sent only to this process is passed on.
      using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
        interrupted = name;
        daemon.kill("SIGTERM");
      });
      try {
        daemon.send(assignment);
      } catch (error) {
        // If the daemon has ended, `told` says how.
        if (!(await endsWithin(ENDING_MS))) throw error;
      }
      const outcome = await told.promise;
      if (outcome.outcome === "died") {
        const failure = await explainDeath(assignment.mountpoint, "before");
        throw interrupted === undefined ? failure : new Interrupted(interrupted);
      }
      if (outcome.outcome === "failed") {
        await daemon.exited;
        if (interrupted !== undefined) throw new Interrupted(interrupted);
        throw new MountFailed(outcome);
      }
      if (interrupted === undefined) {
        // The daemon has seen only the serving side. This checks what other programs will see.
        try {
          statSync(assignment.mountpoint);
        } catch (error) {
          throw (await endsWithin(ENDING_MS)) ? await explainDeath(assignment.mountpoint, "as soon as") : error;
        }
      } else if (await endsWithin(PATIENCE_MS)) {
        // The signal came just after the daemon was ready, and ended it. If it could not save its tree, the mount stays.
        throw new Interrupted(interrupted);
      }
      daemon.disconnect();
      daemon.unref();
      const { pid, status } = outcome;
      return { pid, status };
    },
    async [Symbol.asyncDispose]() {
      if (assigned) return;
      daemon.kill("SIGKILL");
      await daemon.exited;
    },
  };
}

/** The daemon's explanation of why there is no mount. */
export class MountFailed extends Error {
  override readonly name = "MountFailed";
  readonly explanation: Explanation;

  constructor(explanation: Explanation) {
    super(explanation.message ?? "the mount failed");
    this.explanation = explanation;
  }
}

function isOutcome(message: unknown): message is LaunchOutcome {
  if (typeof message !== "object" || message === null || !("outcome" in message)) return false;
  return message.outcome === "ready" || ("status" in message && typeof message.status === "number");
}
