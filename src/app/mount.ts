/**
 * A mount from configuration to the saved tree: what `mount`, `run` and `demo` have in common.
 */

import { messageOf } from "../errno.ts";
import type { Log } from "../log.ts";
import type { MountedFilesystem } from "../mount/filesystem.ts";
import { openSources, type Sources } from "./configured-generators.ts";
import { UserError } from "./errors.ts";
import type { Generation } from "./generation.ts";
import { describeProblem, Keeper } from "./keeper.ts";
import { raiseLimits } from "./machine/limits.ts";
import type { Progress } from "./progress.ts";
import { RecordWriter, type SaveOutcome } from "./running/mount-record.ts";
import type { Config } from "./settings/settings.ts";
import { chooseSourceName } from "./source-name.ts";

/** How often whoever waits for a save hears how far it is. */
const PROGRESS_MS = 100;

export interface MountServeOptions {
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
  /** Gives up before the mount is made. Once it is, the caller has to look whether it was aborted in the meantime. */
  readonly signal: AbortSignal;
}

export interface ServedMount {
  readonly filesystem: MountedFilesystem;
  /** Unmounted by whomever, or failed. Saving is left to `finish`. */
  readonly ended: MountedFilesystem["ended"];
  /** Saves, if that was asked for and anything has changed. Never rejects. */
  save(): Promise<SaveOutcome>;
  /** As `save`, until it succeeds or somebody gives up. `meanwhile` says where the tree is. */
  insist(givenUp: AbortSignal, meanwhile: string): Promise<SaveOutcome>;
  /**
   * Saves if that was asked for, until it succeeds or somebody gives up. Call once, when the mount is gone from sight;
   * this process is to end then, and with it goes what programs that still use the mount have of it.
   * Throws UserError("save").
   */
  finish(givenUp: AbortSignal): Promise<void>;
}

/**
 * Resolves when the mount answers, also if the signal was aborted while it was being made: only the caller knows how to
 * end a mount that programs may already use. Throws what the parts throw, or the signal's reason, with nothing mounted.
 */
export async function serve(options: MountServeOptions): Promise<ServedMount> {
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
    const { startFilesystem } = await import("../mount/filesystem.ts");
    let keeper: Keeper | undefined;
    const record = openRecord(config, mountpoint, async () => (await keeper?.save()) ?? { kind: "none" });
    const filesystem = await startFilesystem({
      mountpoint,
      source: chooseSourceName(config, mountpoint),
      temporary: options.temporary ?? false,
      readOnly: config.readOnly,
      allowOther: config.allowOther,
      lowPower: config.lowPower,
      size: config.size,
      inodes: config.inodes,
      ...(from === undefined ? {} : { from }),
      save: async () => keeper?.save(),
      generate: sources?.generate(generation.generate) ?? generation.generate,
      ...(sources === undefined ? {} : { list: sources.list, plants: sources.plants, named: sources.named }),
      onUndone: generation.restoreRecording,
      whenSettled: generation.settled,
      log: (level, tag, text) => log.write(level, tag, text),
      debug: config.debug,
      ...(config.epoch === undefined ? {} : { epoch: config.epoch }),
    });
    generation.attach(filesystem, mountpoint, sources?.summary);
    sources?.attach(filesystem);
    // Whoever is told that the mount is there finds what was published: calls are answered in their order.
    await filesystem.revision();
    record.change({ device: filesystem.device, state: "serving" });
    filesystem.ended.then(() => record.change({ device: "", state: "ended" }));
    keeper = keeperOf(config, filesystem, record);
    const timer = keeper && saveAtIntervals(config, keeper, log);
    const insist = async (givenUp: AbortSignal, meanwhile: string): Promise<SaveOutcome> => {
      let late = false;
      const onFailure = (outcome: SaveOutcome) => {
        late = true;
        record.change({ insisting: true });
        log.write(
          "error",
          "cli",
          `${describeProblem(outcome)}; trying again until it works or a signal comes; ${meanwhile}`,
        );
      };
      const outcome = (await keeper?.insist(givenUp, onFailure)) ?? { kind: "none" };
      if (late) record.change({ insisting: undefined });
      if (late && "file" in outcome) log.write("warn", "cli", `the tree is saved to ${outcome.file} after all`);
      return outcome;
    };
    return {
      filesystem,
      ended: filesystem.ended,
      save: async () => (await keeper?.save()) ?? { kind: "none" },
      insist,
      async finish(givenUp) {
        clearInterval(timer);
        await generation[Symbol.asyncDispose]();
        await sources?.[Symbol.asyncDispose]();
        const outcome = await insist(givenUp, `until then process ${process.pid} keeps it`);
        record.change({ state: "done", last: outcome });
        const problem = describeProblem(outcome);
        if (problem !== undefined) throw new UserError("save", problem);
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

async function startingTree(options: MountServeOptions): Promise<{ file: string } | { text: Uint8Array } | undefined> {
  const { config, generation, progress, signal } = options;
  if (config.from !== undefined) return { file: config.from };
  if (config.prompt === undefined) return undefined;
  return { text: await generation.layOut(config.prompt.text, progress, signal) };
}

/** Tells of the mount to whoever may ask this process. */
function openRecord({ save }: Config, mountpoint: string, answer: () => Promise<SaveOutcome>): RecordWriter {
  try {
    return new RecordWriter({ mountpoint, ...(save === undefined ? {} : { save }) }, answer);
  } catch (error) {
    throw new UserError("failure", `a mount cannot be served here: ${messageOf(error)}`, { cause: error });
  }
}

function keeperOf({ save }: Config, filesystem: MountedFilesystem, record: RecordWriter): Keeper | undefined {
  if (save === undefined) return undefined;
  let told = 0;
  return new Keeper({
    filesystem,
    file: save,
    progress(saving) {
      if (saving.bytes > 0 && performance.now() - told < PROGRESS_MS) return;
      told = performance.now();
      record.change({ saving });
    },
    done: (last) => record.change({ saving: undefined, last }),
  });
}

function saveAtIntervals(
  { saveEveryMs }: Config,
  keeper: Keeper,
  log: Log,
): ReturnType<typeof setInterval> | undefined {
  if (saveEveryMs === undefined) return undefined;
  let saving = false;
  return setInterval(async () => {
    if (saving) return;
    saving = true;
    const outcome = await keeper.save({ rescue: false });
    const problem = describeProblem(outcome);
    if (problem !== undefined) log.write("error", "cli", problem);
    saving = false;
  }, saveEveryMs);
}
