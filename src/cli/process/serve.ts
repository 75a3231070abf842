/** Serves one mount until it ends, for `mount -f` and for the process behind a background mount. */

import { openGeneration } from "../../app/generation.ts";
import { type ServedMount, serve } from "../../app/mount.ts";
import type { Progress } from "../../app/progress.ts";
import { secretsOf } from "../../app/settings/model.ts";
import { type Config, wantsColor } from "../../app/settings/settings.ts";
import { MountError } from "../../fuse/mounting/unmount.ts";
import { createLog, type Log, type LogLevel } from "../../log.ts";
import type { Ended } from "../../mount/filesystem.ts";
import { EXIT } from "../output/exit-codes.ts";
import { explain } from "../output/explain-error.ts";
import { createProgress } from "../output/progress.ts";
import { isTerminal, say } from "../output/terminal.ts";
import { formatWarming, warmMount } from "../output/warm-progress.ts";
import { Ending } from "./shutdown.ts";
import { Interrupted, onSignals } from "./signals.ts";

export interface MountJob {
  readonly config: Config;
  /** The real path of an empty directory. */
  readonly mountpoint: string;
  /** Cancels, until the mount is ready. */
  readonly signal?: AbortSignal;
  /** The least log level shown on the terminal, unless `--debug` shows everything. */
  readonly terminalLevel: LogLevel;
  readonly beforeMount?: () => void;
  /** Another process removes the mount if this one ends before it answers. */
  readonly watched?: boolean;
  /** Called when the mount answers and, with `--warm`, is warm. The status tells whether warming succeeded. */
  ready(log: Log, status: number): Promise<void> | void;
}

/** Resolves with the exit status when the mount has ended and is saved. Rejects with Interrupted or the error of a part. */
export async function mountAndServe(job: MountJob): Promise<number> {
  const progress = createProgress();
  const log = openLog(job.config, job.terminalLevel, progress);
  const interrupted = new AbortController();
  /** Fires if the mount was cancelled before it was ready. */
  const unwanted = job.signal === undefined ? interrupted.signal : AbortSignal.any([interrupted.signal, job.signal]);
  const givenUp = new AbortController();
  const warm = new AbortController();
  let served: ServedMount | undefined;
  let ending: Ending | undefined;
  let finishing = false;
  /** Whether `ready` was called. */
  let reported = false;
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU"], (name) => {
    if (ending === undefined) return interrupted.abort(new Interrupted(name));
    if (name === "SIGXCPU") {
      // The kernel repeats SIGXCPU every second.
      if (ending.begun) return;
      log.write("error", "cli", "the CPU time limit (ulimit -t) is reached; saving and unmounting");
    }
    warm.abort();
    if (finishing) return givenUp.abort();
    if (!reported && !ending.begun) return ending.leave();
    ending.begin();
    // There is no CPU time left to wait for programs.
    if (name === "SIGXCPU") ending.begin();
  });
  const generation = openGeneration(job.config, log);
  /** Undefined if the mount ended in the meantime. */
  const warmIfAsked = async (mounted: ServedMount, end: Ending): Promise<number | undefined> => {
    if (!job.config.warm) return EXIT.ok.code;
    mounted.ended.then(() => warm.abort());
    const onLeave = () => {
      warm.abort();
      end.leave();
    };
    job.signal?.addEventListener("abort", onLeave, { once: true });
    const result = await warmMount(mounted.filesystem, {
      config: job.config,
      generation,
      progress,
      signal: warm.signal,
    });
    const { save, mode } = job.config;
    const kept = save !== undefined ? `saved in ${save}` : mode === "off" ? "lost with the mount" : "recorded";
    for (const line of formatWarming(result, warm.signal.aborted ? kept : undefined)) progress.print(line);
    if (warm.signal.aborted) return undefined;
    return result.failed.length === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  };
  try {
    served = await serve({
      config: job.config,
      mountpoint: job.mountpoint,
      generation,
      log,
      progress,
      watched: job.watched ?? false,
      ...(job.beforeMount === undefined ? {} : { beforeMount: job.beforeMount }),
      signal: unwanted,
    });
    ending = new Ending(served, job.mountpoint, log);
    log.withTag("cli").info(`mounted at ${job.mountpoint}`);
    let fault: { readonly error: unknown } | undefined;
    // A signal that came before `ending` existed is handled now.
    if (unwanted.aborted) ending.leave();
    else {
      try {
        const status = await warmIfAsked(served, ending);
        reported = true;
        if (status !== undefined) await job.ready(log, status);
      } catch (error) {
        fault = { error };
        ending.leave();
      }
    }
    const over = ending.over.then((): Ended => ({ reason: "unmounted" }));
    const { reason, message } = await Promise.race([served.ended, over]);
    finishing = true;
    await served.finish(givenUp.signal);
    // Only now, because the tree had to be saved first.
    if (fault !== undefined) throw fault.error;
    if (reason === "failed") throw new MountError("failed", message ?? `the mount at ${job.mountpoint} failed`);
    log.withTag("cli").info(`unmounted ${job.mountpoint}`);
    return reported ? EXIT.ok.code : explain(unwanted.reason).status;
  } catch (error) {
    if (served !== undefined) log.withTag("cli").error(explain(error).message ?? "interrupted");
    throw error;
  } finally {
    await log.close();
  }
}

/** Opens the log of a command. `--debug` shows and writes everything. */
export function openLog(config: Config, terminal: LogLevel, progress: Progress): Log {
  return createLog({
    terminal: config.debug ? "debug" : terminal,
    file: config.debug ? "debug" : "info",
    path: config.logFile,
    json: config.logFormat === "json",
    print: (line, mark) => progress.print(line, mark),
    color: wantsColor(isTerminal()),
    secrets: secretsOf(config),
  });
}

/** The log of commands that only inspect: warnings on the terminal, and no file. */
export function createQuietLog(): Log & AsyncDisposable {
  const log = createLog({
    terminal: "warn",
    file: "info",
    path: undefined,
    print: say,
    color: wantsColor(isTerminal()),
    secrets: [],
  });
  return { ...log, [Symbol.asyncDispose]: () => log.close() };
}
