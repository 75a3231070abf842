/**
 * A mount from configuration to the saved tree: what `mount`, `run` and `demo` have in common.
 */

import { messageOf } from "../errno.ts";
import type { MountedFilesystem } from "../fs/filesystem.ts";
import type { Log } from "../log.ts";
import type { Config } from "./config.ts";
import type { Generation } from "./generation.ts";
import { raiseLimits } from "./limits.ts";
import { asSaved } from "./outputs.ts";
import type { Progress } from "./progress.ts";
import { saveOrRescue } from "./rescue.ts";
import { sourceName } from "./source-name.ts";
import { openSources, type Sources } from "./sources.ts";

export interface ServeOptions {
  readonly config: Config;
  /** Real path of an empty directory. */
  readonly mountpoint: string;
  /** It was made for this mount. */
  readonly temporary?: boolean;
  readonly generation: Generation;
  readonly log: Log;
  readonly progress: Progress;
  /** Called when the tree is laid out and the mount is next. */
  readonly beforeMount?: () => void;
  /** Gives up before the mount is there. */
  readonly signal: AbortSignal;
}

export interface Served {
  readonly filesystem: MountedFilesystem;
  /** Unmounted by whomever, or failed. Saving is left to `finish`. */
  readonly ended: MountedFilesystem["ended"];
  /**
   * Saves if that was asked for. Call once, when the mount is gone from sight; this process is to end then, and with it
   * goes what programs that still use the mount have of it. Throws CliError("save").
   */
  finish(): Promise<void>;
}

/** Resolves when the mount answers. Throws what the parts throw, or the signal's reason, with nothing mounted. */
export async function serve(options: ServeOptions): Promise<Served> {
  const { config, mountpoint, generation, log, progress, signal } = options;
  let sources: Sources | undefined;
  try {
    sources = config.configFile === undefined ? undefined : await openSources(config.configFile, log, { mountpoint });
    if (config.from !== undefined) await generation.checkPrices();
    const from = await startingTree(options);
    signal.throwIfAborted();
    options.beforeMount?.();
    for (const problem of raiseLimits()) log.write("warn", "cli", problem);
    // The other thread reads the snapshot meanwhile.
    if (config.warm) generation.load();
    const { startFilesystem } = await import("../fs/filesystem.ts");
    const filesystem = await startFilesystem({
      mountpoint,
      source: sourceName(config, mountpoint),
      temporary: options.temporary ?? false,
      readOnly: config.readOnly,
      allowOther: config.allowOther,
      lowPower: config.lowPower,
      size: config.size,
      inodes: config.inodes,
      ...(from === undefined ? {} : { from }),
      generate: sources?.generate(generation.generate) ?? generation.generate,
      ...(sources === undefined ? {} : { list: sources.list, plants: sources.plants, named: sources.named }),
      undone: generation.undone,
      settled: generation.settled,
      log: (level, tag, text) => log.write(level, tag, text),
      debug: config.debug,
      ...(config.epoch === undefined ? {} : { epoch: config.epoch }),
    });
    if (signal.aborted) {
      await filesystem[Symbol.asyncDispose]();
      throw signal.reason;
    }
    generation.attach(filesystem, mountpoint, sources?.summary);
    sources?.attach(filesystem);
    const timer = saveAtIntervals(config, filesystem, log);
    return {
      filesystem,
      ended: filesystem.ended,
      async finish() {
        clearInterval(timer);
        await generation[Symbol.asyncDispose]();
        await sources?.[Symbol.asyncDispose]();
        if (config.save !== undefined) await saveOrRescue(filesystem, config.save);
      },
    };
  } catch (error) {
    await generation[Symbol.asyncDispose]();
    await sources?.[Symbol.asyncDispose]();
    throw signal.aborted ? signal.reason : error;
  } finally {
    progress.clear();
  }
}

async function startingTree(options: ServeOptions): Promise<{ file: string } | { text: Uint8Array } | undefined> {
  const { config, generation, progress, signal } = options;
  if (config.from !== undefined) return { file: config.from };
  if (config.prompt === undefined) return undefined;
  return { text: await generation.layOut(config.prompt.text, progress, signal) };
}

function saveAtIntervals(
  config: Config,
  filesystem: MountedFilesystem,
  log: Log,
): ReturnType<typeof setInterval> | undefined {
  const { save: file, saveEveryMs } = config;
  if (file === undefined || saveEveryMs === undefined) return undefined;
  let saving = false;
  return setInterval(async () => {
    if (saving) return;
    saving = true;
    await asSaved(filesystem.save(file)).catch((error) => log.write("error", "cli", messageOf(error)));
    saving = false;
  }, saveEveryMs);
}
