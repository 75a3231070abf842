/**
 * The tree of a snapshot, in this process and without a mount. What tools change is saved to the snapshot before they answer;
 * content that was generated is saved soon afterwards, and at the end.
 */

import type { Stats } from "node:fs";
import { abortable } from "../../abort.ts";
import { UserError } from "../../app/errors.ts";
import { openGeneration } from "../../app/generation.ts";
import { lookAt } from "../../app/inspect.ts";
import { isUnchanged, statIfThere } from "../../app/keeper.ts";
import { growMount } from "../../app/layout/growing.ts";
import { NO_PROGRESS } from "../../app/progress.ts";
import type { Config } from "../../app/settings/settings.ts";
import type { SettingsArguments } from "../../app/settings/table.ts";
import { currentAdder } from "../../app/tree-options.ts";
import { withTree } from "../../app/without-mount.ts";
import { messageOf } from "../../errno.ts";
import type { Log } from "../../log.ts";
import type { MountedFilesystem } from "../../mount/filesystem.ts";
import { person } from "../output/ask.ts";
import { waitsOf } from "../output/provenance-report.ts";
import { holdSnapshot, refuseSavedByMount } from "../preflight/hold-snapshot.ts";
import { wrapSaveErrors } from "../preflight/output-paths.ts";
import type { TreeSession } from "./session.ts";

/** How long generated content may wait to be saved, so that many files are saved together. */
const SAVE_WITHIN_MS = 1000;

export interface SnapshotSessionOptions {
  readonly args: SettingsArguments;
  readonly config: Config;
  /** An absolute path. */
  readonly file: string;
  /** Never writes to the file. */
  readonly readOnly: boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** `use` runs as long as the tree is there. Rejects with the error of a part. */
export async function withSnapshotSession(
  options: SnapshotSessionOptions,
  use: (session: TreeSession) => Promise<void>,
): Promise<void> {
  const { config, log, signal } = options;
  if (!options.readOnly) refuseSavedByMount(options.file);
  const before = statIfThere(options.file);
  const generation = openGeneration(config, log);
  await withTree({ config, generation, log, progress: NO_PROGRESS, signal }, async (filesystem) => {
    const saver = await Saver.open(filesystem, options, before);
    try {
      await use(createSession(filesystem, saver, { ...options, generation }));
    } finally {
      await saver.saveNow();
    }
  });
}

function createSession(
  filesystem: MountedFilesystem,
  saver: Saver,
  { args, file, log, generation }: SnapshotSessionOptions & { readonly generation: ReturnType<typeof openGeneration> },
): TreeSession {
  const { files, tree } = filesystem;
  const writer = currentAdder();
  return {
    name: file,
    entries: () => files.listAll(),
    async read(path, signal) {
      const content = await abortable(signal, tree.read(path));
      saver.saveSoon();
      return content;
    },
    async write(path, content) {
      await files.writeFile(path, content, writer);
      await saver.saveNow();
    },
    async regenerate(path, wish, signal) {
      await abortable(signal, files.regenerate(path, wish));
      await saver.saveNow();
    },
    async grow(path, prompt, dry, signal) {
      const growth = await growMount({ op: "grow", path, prompt, dry, adder: writer }, filesystem, {
        generation,
        log,
        signal,
      });
      if (growth.added) await saver.saveNow();
      return growth;
    },
    async look() {
      const text = Buffer.concat(await Array.fromAsync(filesystem.snapshot()));
      return await lookAt({ snapshot: file, text }, args, { log, person, inUse: generation.about });
    },
    live: () => () => undefined,
    waits: async (path) => waitsOf(path, await filesystem.pending()),
    async [Symbol.asyncDispose]() {},
  };
}

/** Saves the tree to its file if it has changed, one save at a time. */
class Saver {
  readonly #filesystem: MountedFilesystem;
  readonly #options: SnapshotSessionOptions;
  #timer: Timer | undefined;
  /** The state of the tree that is in the file, and the file as it was then. */
  #saved: string;
  #written: Stats | undefined;
  #saving: Promise<void> = Promise.resolve();

  /** `before`: the file when it was read. */
  static async open(
    filesystem: MountedFilesystem,
    options: SnapshotSessionOptions,
    before: Stats | undefined,
  ): Promise<Saver> {
    return new Saver(filesystem, options, await stateOf(filesystem), before);
  }

  private constructor(
    filesystem: MountedFilesystem,
    options: SnapshotSessionOptions,
    saved: string,
    before: Stats | undefined,
  ) {
    this.#filesystem = filesystem;
    this.#options = options;
    this.#saved = saved;
    this.#written = before;
  }

  saveSoon(): void {
    const { log, readOnly } = this.#options;
    if (readOnly) return;
    this.#timer ??= setTimeout(() => {
      this.saveNow().catch((error: unknown) => log.write("error", "save", messageOf(error)));
    }, SAVE_WITHIN_MS);
  }

  /** Rejects with UserError("save"). */
  saveNow(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#options.readOnly) return Promise.resolve();
    const saving = this.#saving.then(() => this.#save());
    // A later save reports its own failure, not this one.
    this.#saving = saving.catch(() => {});
    return saving;
  }

  async #save(): Promise<void> {
    const state = await stateOf(this.#filesystem);
    if (state === this.#saved) return;
    const { file } = this.#options;
    await using _ = await holdSnapshot(file);
    if (!isUnchanged(this.#written, statIfThere(file))) {
      throw new UserError("save", `${file} was changed by another program; nothing was saved. Start this server again`);
    }
    await wrapSaveErrors(this.#filesystem.save(file));
    this.#saved = state;
    this.#written = statIfThere(file);
  }
}

/** Different after every change: the version counts what is written, the revision what is generated. */
async function stateOf({ files, revision }: MountedFilesystem): Promise<string> {
  const [version, { count }] = await Promise.all([files.version(), revision()]);
  return `${version} ${count}`;
}
