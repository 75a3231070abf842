/** The process behind a background mount: takes its assignment from the launcher, reports, and then lives alone. */
import { readdirSync, readlinkSync } from "node:fs";
import { close, dup2, O_RDWR, open, setsid } from "../../libc.ts";
import { EXIT } from "../output/exit-codes.ts";
import { explain } from "../output/explain-error.ts";
import type { Assignment, LaunchOutcome } from "./launcher.ts";
import { mountAndServe } from "./serve.ts";
import { Interrupted } from "./signals.ts";

/** Resolves with the exit status when the mount has ended. */
export async function runDaemon(): Promise<number> {
  const launcherGone = new AbortController();
  let ready = false;
  process.once("disconnect", () => {
    if (!ready) launcherGone.abort(new Interrupted("SIGHUP"));
  });
  // A launcher that dies before it has said what to do leaves nobody to tell, and nothing to do.
  const job = await receiveAssignment(launcherGone.signal).catch(() => undefined);
  if (job === undefined) return EXIT.failure.code;
  try {
    return await mountAndServe({
      ...job,
      signal: launcherGone.signal,
      terminalLevel: "warn",
      beforeMount: setsid,
      async ready(log, status) {
        ready = true;
        await report({ outcome: "ready", pid: process.pid, status });
        log.detach();
        leaveTerminal();
      },
    });
  } catch (error) {
    const explanation = explain(error);
    // Once it is ready, the log has the only reader left, and `mountAndServe` has told it.
    if (!ready) await report({ outcome: "failed", ...explanation });
    return explanation.status;
  }
}

function receiveAssignment(signal: AbortSignal): Promise<Assignment> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    // The launcher is this same program, and sends exactly one message, an Assignment.
    process.once("message", (message) => resolve(message as Assignment));
  });
}

/** Resolves when the message is on its way; a launcher that is gone needs none. */
function report(outcome: LaunchOutcome): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(outcome, () => resolve());
  });
}

/** Nothing of the terminal or the directory that llmfs was started from is held any longer. */
function leaveTerminal(): void {
  process.disconnect?.();
  process.chdir("/");
  const nowhere = open("/dev/null", O_RDWR);
  for (const fd of listTerminalDescriptors()) dup2(nowhere, fd);
  close(nowhere);
}

/**
 * 0, 1 and 2, and all that lead where they lead: Bun opens a second one for `process.stderr`, which a library may touch,
 * and whoever reads a pipe from us would wait for its end for ever.
 */
function listTerminalDescriptors(): readonly number[] {
  const descriptors = readdirSync("/proc/self/fd").map(Number);
  const target = (fd: number) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // The one this directory was read by.
      return "";
    }
  };
  // A regular file may also be where the log goes.
  const left = [0, 1, 2].map(target).filter((path) => /^(pipe|socket):|^\/dev\/(pts|tty|console)/.test(path));
  return descriptors.filter((fd) => fd <= 2 || left.includes(target(fd)));
}
