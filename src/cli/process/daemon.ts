/** The process behind a background mount: gets its assignment from the launcher, reports to it, and then detaches. */
import { close, dup2, O_RDWR, open, setsid } from "../../libc.ts";
import { descriptorsOf, readLink } from "../../procfs.ts";
import { EXIT } from "../output/exit-codes.ts";
import type { Assignment, LaunchOutcome } from "./launcher.ts";
import { Interrupted } from "./signals.ts";

/** Resolves with the exit status when the mount has ended. */
export async function runDaemon(): Promise<number> {
  const launcherGone = new AbortController();
  let ready = false;
  process.once("disconnect", () => {
    if (!ready) launcherGone.abort(new Interrupted("SIGHUP"));
  });
  // If the launcher dies before it has sent the assignment, there is nothing to do.
  const received = receiveAssignment(launcherGone.signal).catch(() => undefined);
  const { mountAndServe } = await import("./serve.ts");
  const job = await received;
  if (job === undefined) return EXIT.failure.code;
  try {
    return await mountAndServe({
      ...job,
      signal: launcherGone.signal,
      terminalLevel: "warn",
      beforeMount: setsid,
      // The launcher removes the mount if this process is killed.
      watched: true,
      async ready(log, status) {
        ready = true;
        await report({ outcome: "ready", pid: process.pid, status });
        log.detach();
        leaveTerminal();
      },
    });
  } catch (error) {
    const { explain } = await import("../output/explain-error.ts");
    const explanation = explain(error);
    // After "ready", the launcher no longer listens, and `mountAndServe` has already logged the error.
    if (!ready) await report({ outcome: "failed", ...explanation });
    return explanation.status;
  }
}

function receiveAssignment(signal: AbortSignal): Promise<Assignment> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    // The launcher is this same program. It sends exactly one message, an Assignment.
    process.once("message", (message) => resolve(message as Assignment));
  });
}

/** Resolves when the message is sent. Does nothing if the launcher is gone. */
function report(outcome: LaunchOutcome): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(outcome, () => resolve());
  });
}

/** Releases the terminal and the directory that llmfs was started from. */
function leaveTerminal(): void {
  process.disconnect?.();
  process.chdir("/");
  const nowhere = open("/dev/null", O_RDWR);
  for (const fd of listTerminalDescriptors()) dup2(nowhere, fd);
  close(nowhere);
}

/**
 * Descriptors 0, 1, 2 and all others that refer to the same files: Bun opens a second one for `process.stderr` if a
 * library uses it, and the reader of a pipe would then never see its end.
 */
function listTerminalDescriptors(): readonly number[] {
  const target = (fd: number) => readLink(`/proc/self/fd/${fd}`);
  // Regular files stay open, because the log may go to one.
  const left = [0, 1, 2].map(target).filter((path) => /^(pipe|socket):|^\/dev\/(pts|tty|console)/.test(path));
  return [0, 1, 2, ...descriptorsOf("self").filter((fd) => fd > 2 && left.includes(target(fd)))];
}
