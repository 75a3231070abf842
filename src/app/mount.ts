/**
 * Runs a mount, from the configuration to the saved tree, for `mount`, `run` and `demo`.
 */

import { PROMPT } from "../attributes.ts";
import { messageOf } from "../errno.ts";
import type { Log } from "../log.ts";
import { type MountedFilesystem, startFilesystem } from "../mount/filesystem.ts";
import type { SaveEvent } from "../rpc/programs.ts";
import { UserError } from "./errors.ts";
import type { Keeper, Kept } from "./keeper.ts";
import { findStartingTree } from "./layout/starting-tree.ts";
import { raiseLimits } from "./machine/limits.ts";
import { Audit } from "./running/audit.ts";
import { crashNotesOf } from "./running/crash-report.ts";
import { describeProblem, RecordWriter, type SaveOutcome } from "./running/mount-record.ts";
import type { Config } from "./settings/settings.ts";
import { chooseSourceName } from "./source-name.ts";
import { type TreeParts, treeOptions } from "./tree-options.ts";

/** How often the progress of a save is reported. */
const PROGRESS_MS = 100;

export interface MountServeOptions extends TreeParts {
  /** The real path of an empty directory. */
  readonly mountpoint: string;
  /** Whether the directory was created for this mount. */
  readonly temporary?: boolean;
  /** Another process removes the mount if this one ends before it answers: see MountOptions. */
  readonly watched?: boolean;
  /** Called after the layout, just before mounting. */
  readonly beforeMount?: () => void;
  /** Cancels until the mount exists. After that, the caller must check whether it was aborted in the meantime. */
  readonly signal: AbortSignal;
}

export interface ServedMount {
  readonly filesystem: MountedFilesystem;
  /** Resolves when the filesystem was unmounted or has failed. It does not save; call `finish` for that. */
  readonly ended: MountedFilesystem["ended"];
  /** Saves if there is a file for it and the tree has changed. Never rejects. */
  save(): Promise<SaveOutcome>;
  /** Retries `save` until it succeeds or `givenUp` fires. `meanwhile` is a message with the current location of the tree. */
  insist(givenUp: AbortSignal, meanwhile: string): Promise<SaveOutcome>;
  /**
   * Saves if there is a file for it, and retries until that succeeds or `givenUp` fires. Call it once, after the unmount.
   * This process must end afterwards, which also ends the access of programs that still use the mount.
   * Throws UserError("save"), or UserError("recordings") if there is a problem with the recordings.
   */
  finish(givenUp: AbortSignal): Promise<void>;
}

/**
 * Resolves when the mount answers, even if the signal was aborted during mounting, because only the caller knows how to
 * end a mount that programs may already use. Otherwise throws the error of a part or the signal's reason, with nothing
 * mounted.
 */
export async function serve(options: MountServeOptions): Promise<ServedMount> {
  const { config, mountpoint, generation, log, progress, signal } = options;
  try {
    const audit = openAudit(config, log);
    const configured = await generation.loadRules(mountpoint);
    if (config.from !== undefined) await generation.checkPrices();
    const from = await findStartingTree(options);
    signal.throwIfAborted();
    options.beforeMount?.();
    for (const problem of raiseLimits()) log.write("warn", "cli", problem);
    // The other thread reads the snapshot in the meantime.
    if (config.warm) generation.load();
    const tree = treeOptions(options, configured, from);
    let keeper: Keeper | undefined;
    let freezing: Promise<unknown> = Promise.resolve();
    const record = openRecord(config, mountpoint, async () => (await keeper?.save()) ?? { kind: "none" });
    let prompt: Promise<string | undefined> | undefined;
    const filesystem = await startFilesystem({
      ...tree,
      generate: audit?.guard(tree.generate) ?? tree.generate,
      ...(tree.recall && { recall: audit?.guardRecall(tree.recall) ?? tree.recall }),
      ...(tree.list && { list: audit?.guard(tree.list) ?? tree.list }),
      mountpoint,
      source: chooseSourceName(config, mountpoint),
      temporary: options.temporary ?? false,
      watched: options.watched ?? false,
      crashNotes: crashNotesOf(config),
      readOnly: config.readOnly,
      allowOther: config.allowOther,
      noExec: config.noExec,
      lowPower: config.lowPower,
      programs: { ...config.programs, reports: audit !== undefined || config.logFormat === "json" },
      onEvent: (event) => {
        audit?.write(event);
        log.event(event);
      },
      command: async (command, stop) => {
        if (command.op === "save") return { saved: (await keeper?.save()) ?? { kind: "none" } };
        const { runTreeCommand } = await import("./tree-commands.ts");
        const running = runTreeCommand(command, { config, generation, filesystem, log }, stop);
        if (command.op === "freeze") freezing = Promise.allSettled([freezing, running]);
        return running;
      },
      attach: (mounted) => {
        generation.attach(mounted, mountpoint);
        prompt = mounted.tree.stat("/").then(({ xattrs }) => xattrs.get(PROMPT)?.slice(0, PUBLISHED_PROMPT));
        prompt.catch(() => {});
      },
      signal,
    });
    record.change({ device: filesystem.device, state: "serving", prompt: await prompt });
    filesystem.ended.then(() => record.change({ device: "", state: "ended" }));
    keeper = await keeperOf(config, filesystem, record);
    const timer = keeper && saveAtIntervals(config, keeper, log);
    const insist = async (givenUp: AbortSignal, meanwhile: string): Promise<SaveOutcome> => {
      let late = false;
      const onFailure = (outcome: SaveOutcome) => {
        late = true;
        record.change({ insisting: true });
        log.write(
          "error",
          "cli",
          `${describeProblem(outcome)}; retrying until it works or a signal comes; ${meanwhile}`,
        );
      };
      const outcome = (await keeper?.insist(givenUp, onFailure)) ?? { kind: "none" };
      if (late) record.change({ insisting: undefined });
      if (late && "file" in outcome) log.write("warn", "cli", `the tree is now saved to ${outcome.file}`);
      return outcome;
    };
    return {
      filesystem,
      ended: filesystem.ended,
      save: async () => (await keeper?.save()) ?? { kind: "none" },
      insist,
      async finish(givenUp) {
        clearInterval(timer);
        // Freezing writes several recordings, and must not be cut off between them.
        await freezing;
        const unsettled = (await generation.settleRecordings()).join("; ") || undefined;
        await generation[Symbol.asyncDispose]();
        const outcome = await insist(givenUp, `until then process ${process.pid} keeps it`);
        audit?.close();
        record.change({ state: "done", last: outcome, unsettled });
        const problem = describeProblem(outcome);
        if (problem !== undefined) throw new UserError("save", problem);
        if (unsettled !== undefined) throw new UserError("recordings", unsettled);
      },
    };
  } catch (error) {
    await generation[Symbol.asyncDispose]();
    throw signal.aborted ? signal.reason : error;
  } finally {
    progress.clear();
  }
}

/** Throws UserError. */
function openAudit({ audit: file, auditRequired: required }: Config, log: Log): Audit | undefined {
  if (file === undefined) return undefined;
  return new Audit({ file, required, warn: (text) => log.write("warn", "cli", text) });
}

/** How much of a prompt is published, in UTF-16 units. */
const PUBLISHED_PROMPT = 500;

/** Opens the record in which this process publishes the state of the mount. */
function openRecord(config: Config, mountpoint: string, answer: () => Promise<SaveOutcome>): RecordWriter {
  const { save, from } = config;
  const published = {
    mountpoint,
    ...(save === undefined ? {} : { save }),
    ...(from === undefined ? {} : { from }),
  };
  try {
    return new RecordWriter(published, answer);
  } catch (error) {
    throw new UserError("failure", `cannot serve a mount here: ${messageOf(error)}`, { cause: error });
  }
}

async function keeperOf(
  { save }: Config,
  filesystem: MountedFilesystem,
  record: RecordWriter,
): Promise<Keeper | undefined> {
  if (save === undefined) return undefined;
  const { Keeper } = await import("./keeper.ts");
  let reportedAt = 0;
  let failedWith: string | undefined;
  return new Keeper({
    filesystem,
    file: save,
    progress(saving) {
      if (saving.bytes > 0 && performance.now() - reportedAt < PROGRESS_MS) return;
      reportedAt = performance.now();
      record.change({ saving });
    },
    async done(last, ms) {
      record.change({ saving: undefined, last });
      const event = describeSave(last, ms);
      // A save that is repeated until it works is reported once.
      const repeated = event.errno !== undefined && event.reason === failedWith;
      failedWith = event.errno && event.reason;
      if (!repeated) await filesystem.files.noteSave(event).catch(() => {});
    },
  });
}

function describeSave(outcome: Kept, ms: number): SaveEvent {
  const { kind } = outcome;
  const reason = kind === "saved" ? {} : { reason: outcome.reason };
  if (kind === "failed") return { to: outcome.wanted, errno: "EIO", ...reason };
  return { to: outcome.file, ms: Math.round(ms), ...reason };
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
