/** `run --no-mount`: the tree as ordinary files in a temporary folder, and what the command changed brought back. */
import { chmodSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { UsageError, UserError } from "../../app/errors.ts";
import { Keeper } from "../../app/keeper.ts";
import { createTemporaryDirectory } from "../../app/machine/temporary-directory.ts";
import { describeProblem } from "../../app/running/mount-record.ts";
import type { Config } from "../../app/settings/settings.ts";
import { childEnvironment } from "../../app/settings/settings.ts";
import { messageOf } from "../../errno.ts";
import { OfflineTree } from "../../offline/offline-tree.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import { writeAtomically } from "../../snapshot/write/write.ts";
import { EXIT } from "../output/exit-codes.ts";
import { plural } from "../output/quantity.ts";
import { say } from "../output/terminal.ts";
import { formatWarming } from "../output/warm-progress.ts";
import { generateTree } from "./generated-tree.ts";
import { commandInMount, forwardSignals } from "./run-child.ts";
import { asUserError } from "./source-tree.ts";

/** Throws UsageError for flags that only a mount can honor. */
export function checkNoMount(config: Config): void {
  if (config.readOnly)
    throw new UsageError("--read-only and --no-mount exclude each other: a folder can always be changed");
  if (config.allowOther) throw new UsageError("--allow-other and --no-mount exclude each other");
  if (config.saveEveryMs !== undefined)
    throw new UsageError(
      "--save-every and --no-mount exclude each other: the tree is saved when the command has ended",
    );
}

/** Resolves with the exit status of the command, or EXIT.incomplete if a file could not be generated. */
export async function runWithoutMount(
  config: Config,
  select: (files: readonly PendingFile[]) => readonly PendingFile[],
  cmd: readonly string[],
): Promise<number> {
  const { text, result } = await generateTree(config, select);
  if (result.failed.length > 0) {
    for (const line of formatWarming(result)) say(line);
    return EXIT.incomplete.code;
  }
  const tree = new OfflineTree({ text }, { warn: say, epoch: config.epoch });
  const folder = createTemporaryDirectory();
  try {
    writeFiles(tree, folder);
    const child = Bun.spawn({
      cmd: commandInMount(cmd),
      env: childEnvironment({ LLMFS_MOUNT: folder }),
      stdio: ["inherit", "inherit", "inherit"],
    });
    const status = await forwardSignals(child);
    await bringBack(tree, folder, config.save);
    return status;
  } finally {
    removeFolder(folder);
  }
}

function writeFiles(tree: OfflineTree, folder: string): void {
  try {
    // Nobody else can enter the folder.
    tree.writeTo(folder, "/", { privileges: true });
  } catch (error) {
    throw asUserError(error, folder);
  }
}

/** Throws UserError("save"); the tree is then in the state folder, if possible, and the message says so. */
async function bringBack(tree: OfflineTree, folder: string, save: string | undefined): Promise<void> {
  const { created, changed, removed } = readFiles(tree, folder);
  const changes = created + changed + removed;
  if (save === undefined) {
    if (changes > 0) say(`${plural(changes, "change")} in the tree will be lost; to keep changes, use --save FILE`);
    return;
  }
  const keeper = new Keeper({
    filesystem: {
      save: (file) => writeAtomically(file, tree.snapshot()),
      revision: async () => ({ count: 0, writing: false }),
    },
    file: save,
    progress() {},
    done() {},
  });
  const problem = describeProblem(await keeper.save());
  if (problem !== undefined) throw new UserError("save", problem);
}

function readFiles(tree: OfflineTree, folder: string): ReturnType<OfflineTree["merge"]> {
  try {
    return tree.merge(folder, "/", { replaces: true });
  } catch (error) {
    throw asUserError(error, folder);
  }
}

/** Also directories that the command has closed. */
function removeFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    try {
      openDirectories(folder);
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      say(`warning: cannot remove the temporary folder ${folder}: ${messageOf(error)}`);
    }
  }
}

function openDirectories(folder: string): void {
  chmodSync(folder, 0o700);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) openDirectories(join(folder, entry.name));
  }
}
