/**
 * Saves a tree to the file of --save, or to the state folder if that fails.
 *
 * It tracks whether the tree may have changed since the last save, so that a mount that was saved just before its end is
 * not saved again.
 */
import { type Stats, statSync } from "node:fs";
import { mkdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../errno.ts";
import type { MountedFilesystem } from "../mount/filesystem.ts";
import type { Revision } from "../rpc/messages.ts";
import { SnapshotError } from "../snapshot/error.ts";
import { clearLeftOvers } from "../snapshot/write/temporary.ts";
import type { SaveOutcome } from "./running/mount-record.ts";
import { stateFolder } from "./settings/settings.ts";

/** The time between attempts to save a tree that is not saved anywhere yet. */
const RETRY_MS = 5_000;

/** The prefix of the names of rescued trees. */
const RESCUE = "unsaved-";

/** The outcome of a requested save. */
export type Kept = Exclude<SaveOutcome, { kind: "none" }>;

/** The state of a running save. */
export interface Saving {
  readonly file: string;
  readonly bytes: number;
}

export interface KeeperOptions {
  readonly filesystem: Pick<MountedFilesystem, "save" | "revision">;
  /** An absolute path. */
  readonly file: string;
  /** Called during a save. */
  readonly progress: (saving: Saving) => void;
  /** Called with the outcome of each save, and the time that it took. The save has ended when it resolves. */
  readonly done: (outcome: Kept, ms: number) => Promise<void> | void;
}

interface Saved {
  readonly outcome: Kept;
  readonly revision: Revision | undefined;
  readonly written: Stats | undefined;
}

export class Keeper {
  readonly #options: KeeperOptions;
  /** The name is unique to this process, so that no other rescued tree is overwritten. */
  readonly #rescue = join(stateFolder(), `${RESCUE}${formatTimestamp()}-${process.pid}.json`);
  #rescues = false;
  /** Runs one save at a time, in the order of requests. */
  #queue: Promise<unknown> = Promise.resolve();
  /** The last successful save, and the file as it was written. */
  #last: Saved | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Saves the current tree, or a slightly later one. Without `rescue`, does not use the state folder. Never rejects. */
  save({ rescue = true } = {}): Promise<Kept> {
    const saved = this.#queue.then(() => this.#saveChanged(rescue));
    this.#queue = saved;
    return saved;
  }

  /**
   * Retries until the tree is saved or `givenUp` fires. Does not overwrite a file that another program creates at the
   * destination in the meantime. `failed` is called after a first attempt that will be retried. Never rejects.
   */
  async insist(givenUp: AbortSignal, failed: (outcome: Kept) => void): Promise<Kept> {
    const { file } = this.#options;
    let outcome = await this.save();
    const before = statIfThere(file);
    if (outcome.kind !== "failed" || givenUp.aborted || !(await this.#hasTree())) return outcome;
    failed(outcome);
    while (outcome.kind === "failed" && !givenUp.aborted) {
      await sleep(RETRY_MS, undefined, { signal: givenUp }).catch(() => {});
      if (isUnchanged(before, statIfThere(file))) outcome = await this.save();
      else {
        const start = performance.now();
        outcome = await this.#saveElsewhere("another file has taken its place");
        await this.#options.done(outcome, performance.now() - start);
      }
    }
    return outcome;
  }

  async #saveChanged(rescue: boolean): Promise<Kept> {
    const { filesystem, file, done } = this.#options;
    const revision = await filesystem.revision().catch(() => undefined);
    if (this.#last !== undefined && this.#isStillSaved(this.#last, revision)) return this.#last.outcome;
    const start = performance.now();
    const outcome = await this.#write(file).then(
      (): Kept => ({ kind: "saved", file }),
      (error): Kept | Promise<Kept> => {
        const reason = reasonOf(error);
        return rescue ? this.#saveElsewhere(reason) : { kind: "failed", wanted: file, reason };
      },
    );
    this.#last = outcome.kind === "failed" ? undefined : { outcome, revision, written: statIfThere(outcome.file) };
    // The rescued copy is no longer needed after a save to the right file.
    if (outcome.kind === "saved" && this.#rescues) await unlink(this.#rescue).catch(() => {});
    await done(outcome, performance.now() - start);
    return outcome;
  }

  /** Whether the last save is still there and equal to the current tree. */
  #isStillSaved(last: Saved, now: Revision | undefined): boolean {
    if (last.outcome.kind === "failed" || last.revision === undefined || last.revision.writing) return false;
    return last.revision.count === now?.count && isUnchanged(last.written, statIfThere(last.outcome.file));
  }

  /** If the filesystem itself has failed, there is no tree left to save. */
  #hasTree(): Promise<boolean> {
    return this.#options.filesystem.revision().then(
      () => true,
      () => false,
    );
  }

  async #saveElsewhere(reason: string): Promise<Kept> {
    const { file: wanted } = this.#options;
    try {
      await mkdir(dirname(this.#rescue), { recursive: true, mode: 0o700 });
      await clearLeftOvers(dirname(this.#rescue), RESCUE);
      this.#rescues = true;
      await this.#write(this.#rescue);
      return { kind: "rescued", file: this.#rescue, wanted, reason };
    } catch (error) {
      return { kind: "failed", wanted, reason: `${reason}; nor to ${this.#rescue}: ${reasonOf(error)}` };
    }
  }

  #write(file: string): Promise<void> {
    const { filesystem, progress } = this.#options;
    progress({ file, bytes: 0 });
    return filesystem.save(file, { progress: (bytes) => progress({ file, bytes }) });
  }
}

/** The reason without the file name, which the caller adds, and without a fix, which depends on the caller. */
function reasonOf(error: unknown): string {
  return (error instanceof SnapshotError ? error.reason : messageOf(error)).replace(/^cannot be written: /, "");
}

/** For example 20260731T120000. */
function formatTimestamp(): string {
  return new Date().toISOString().replace(/[-:]|\..*/g, "");
}

export function statIfThere(file: string): Stats | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Whether the file was not replaced, written or created in the meantime. For other types of file this is unknown. */
export function isUnchanged(one: Stats | undefined, other: Stats | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  if (!one.isFile() && !other.isFile()) return true;
  return one.dev === other.dev && one.ino === other.ino && one.size === other.size && one.mtimeMs === other.mtimeMs;
}
