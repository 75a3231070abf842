/**
 * Keeps a tree: saves it where --save says, and where that cannot be, in the state folder.
 *
 * It knows whether the tree may have changed since it was saved, so that a mount that was saved just before it ended is
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

/** Between two tries to save a tree that is nowhere yet. */
const RETRY_MS = 5_000;

/** How the names of rescued trees begin. */
const RESCUE = "unsaved-";

/** What came of a save that was asked for. */
export type Kept = Exclude<SaveOutcome, { kind: "none" }>;

/** A save that is under way. */
export interface Saving {
  readonly file: string;
  readonly bytes: number;
}

export interface KeeperOptions {
  readonly filesystem: Pick<MountedFilesystem, "save" | "revision">;
  /** Absolute. */
  readonly file: string;
  /** Called as a save goes on. */
  readonly progress: (saving: Saving) => void;
  /** Called with what came of each save. */
  readonly done: (outcome: Kept) => void;
}

interface Saved {
  readonly outcome: Kept;
  readonly revision: Revision | undefined;
  readonly written: Stats | undefined;
}

export class Keeper {
  readonly #options: KeeperOptions;
  /** Of this process alone, so that no rescued tree is written over. */
  readonly #rescue = join(stateFolder(), `${RESCUE}${formatTimestamp()}-${process.pid}.json`);
  #rescues = false;
  /** One save at a time, in the order in which they were asked for. */
  #queue: Promise<unknown> = Promise.resolve();
  /** The last save that succeeded, and what was written then. */
  #last: Saved | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Saves the tree as it is now, or a little later. Without `rescue` nothing is put elsewhere. Never rejects. */
  save({ rescue = true } = {}): Promise<Kept> {
    const saved = this.#queue.then(() => this.#saveChanged(rescue));
    this.#queue = saved;
    return saved;
  }

  /**
   * Tries until the tree is saved, or somebody gives up. A file that somebody else puts at the destination in the
   * meantime is left alone. `failed` is called after a first try that will be followed by others. Never rejects.
   */
  async insist(givenUp: AbortSignal, failed: (outcome: Kept) => void): Promise<Kept> {
    const { file } = this.#options;
    let outcome = await this.save();
    const before = statIfThere(file);
    if (outcome.kind !== "failed" || givenUp.aborted || !(await this.#hasTree())) return outcome;
    failed(outcome);
    while (outcome.kind === "failed" && !givenUp.aborted) {
      await sleep(RETRY_MS, undefined, { signal: givenUp }).catch(() => {});
      outcome = isUnchanged(before, statIfThere(file))
        ? await this.save()
        : await this.#saveElsewhere("another file has taken its place");
      this.#options.done(outcome);
    }
    return outcome;
  }

  async #saveChanged(rescue: boolean): Promise<Kept> {
    const { filesystem, file, done } = this.#options;
    const revision = await filesystem.revision().catch(() => undefined);
    if (this.#last !== undefined && this.#isStillSaved(this.#last, revision)) return this.#last.outcome;
    const outcome = await this.#write(file).then(
      (): Kept => ({ kind: "saved", file }),
      (error): Kept | Promise<Kept> => {
        const reason = reasonOf(error);
        return rescue ? this.#saveElsewhere(reason) : { kind: "failed", wanted: file, reason };
      },
    );
    this.#last = outcome.kind === "failed" ? undefined : { outcome, revision, written: statIfThere(outcome.file) };
    // What is where it should be is no longer needed elsewhere.
    if (outcome.kind === "saved" && this.#rescues) await unlink(this.#rescue).catch(() => {});
    done(outcome);
    return outcome;
  }

  /** Whether what was saved then is what would be saved now, and still there. */
  #isStillSaved(last: Saved, now: Revision | undefined): boolean {
    if (last.outcome.kind === "failed" || last.revision === undefined || last.revision.writing) return false;
    return last.revision.count === now?.count && isUnchanged(last.written, statIfThere(last.outcome.file));
  }

  /** Where the filesystem itself has failed there is nothing left to be saved. */
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

/** For a person: what went wrong, and where the tree is. Undefined where nothing did. */
export function describeProblem(outcome: SaveOutcome): string | undefined {
  if (outcome.kind === "none" || outcome.kind === "saved") return undefined;
  const { wanted, reason } = outcome;
  const failed = `the tree could not be saved to ${wanted}: ${reason}`;
  return outcome.kind === "rescued" ? `${failed}; it is in ${outcome.file} instead` : failed;
}

/** Without the file, which is named beside it, and without a cure, which is not the same for every caller. */
function reasonOf(error: unknown): string {
  return (error instanceof SnapshotError ? error.reason : messageOf(error)).replace(/^cannot be written: /, "");
}

/** As 20260731T120000. */
function formatTimestamp(): string {
  return new Date().toISOString().replace(/[-:]|\..*/g, "");
}

function statIfThere(file: string): Stats | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Whether nobody has replaced or written the file, or put one there. What is no regular file says nothing. */
function isUnchanged(one: Stats | undefined, other: Stats | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  if (!one.isFile() && !other.isFile()) return true;
  return one.dev === other.dev && one.ino === other.ino && one.size === other.size && one.mtimeMs === other.mtimeMs;
}
