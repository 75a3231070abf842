/** The tree that a command exports: of a mount or of a snapshot, with its pending files generated or left out. */
import { configure } from "../../app/configuration/configure.ts";
import { UsageError, UserError } from "../../app/errors.ts";
import { readAbout } from "../../app/mount-info.ts";
import type { Place } from "../../app/place.ts";
import { ControlClient } from "../../app/running/control-client.ts";
import { readControlFile, readPendingFiles } from "../../app/running/mounted.ts";
import type { Config } from "../../app/settings/settings.ts";
import type { SettingsArguments } from "../../app/settings/table.ts";
import { codeOf, FsError, messageOf } from "../../errno.ts";
import { selectFiles } from "../../generate/warm.ts";
import { OfflineTree } from "../../offline/offline-tree.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import { person } from "../output/ask.ts";
import { createProgress } from "../output/progress.ts";
import { say } from "../output/terminal.ts";
import { formatWarming, runWarming, sortByPath, type Warming } from "../output/warm-progress.ts";
import { generateTree } from "./generated-tree.ts";
import { Interrupted, onSignals } from "./signals.ts";

export interface ChoiceArguments extends SettingsArguments {
  readonly pending?: "generate" | "skip" | undefined;
  readonly only?: string | undefined;
}

/** How to export a tree without the files that fail. */
const SKIP = ". To leave out what has no content: --pending skip";

/** Which pending files a command generates: those below `path` that the flags choose. Throws UsageError. */
export function chooseFiles(
  args: ChoiceArguments,
  path = "/",
): (files: readonly PendingFile[]) => readonly PendingFile[] {
  if (args.pending === "skip") {
    if (args.only !== undefined) throw new UsageError("--only has no effect with --pending skip");
    return () => [];
  }
  const patterns = args.only?.split(",").map((one) => one.trim()) ?? [];
  if (patterns.includes("")) throw new UsageError(`--only ${args.only}: a pattern is empty`);
  const inside = (file: PendingFile) => path === "/" || file.path === path || file.path.startsWith(`${path}/`);
  return (files) => selectFiles(files.filter(inside), patterns);
}

/** The configuration of a command that generates files of a snapshot. */
export async function configureSnapshot(args: SettingsArguments, from: string): Promise<Config> {
  const { logFile = "-" } = args;
  return await configure({ ...args, logFile, from }, person);
}

/**
 * Generates what is chosen, and loads the tree. Rejects with UserError "incomplete" after listing the files that could not
 * be generated.
 */
export async function openSourceTree(place: Place, args: ChoiceArguments): Promise<OfflineTree> {
  const select = chooseFiles(args, place.path);
  if (place.kind === "mount") {
    const pending = select(sortByPath(await readPendingFiles(place.mountpoint)));
    if (pending.length > 0) requireComplete(await warmMounted(place.mountpoint, pending), SKIP);
    return new OfflineTree({ text: await readControlFile(place.mountpoint, "full-snapshot.json") }, { warn: say });
  }
  const config = await configureSnapshot(args, place.file);
  if (args.pending === "skip") return new OfflineTree({ file: place.file }, { warn: say, epoch: config.epoch });
  const { text, result } = await generateTree(config, select);
  requireComplete(result, SKIP);
  return new OfflineTree({ text }, { warn: say, epoch: config.epoch });
}

/** Lists the failures. Throws UserError "incomplete" if there are any; `cure` ends its message. */
export function requireComplete(result: Warming, cure = ""): void {
  if (result.total === 0) return;
  for (const line of formatWarming(result)) say(line);
  const { failed } = result;
  if (failed.length > 0) {
    throw new UserError(
      "incomplete",
      `${failed.length} of ${result.total} ${result.total === 1 ? "file" : "files"} could not be generated; nothing was done${cure}`,
    );
  }
}

/** Generates files of a running mount. */
async function warmMounted(mountpoint: string, files: readonly PendingFile[]): Promise<Warming> {
  const stopped = new AbortController();
  let signal: string | undefined;
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
    signal = name;
    stopped.abort();
  });
  await using client = await ControlClient.open(mountpoint);
  const { concurrency } = await readAbout(mountpoint);
  const result = await runWarming({
    files,
    concurrency,
    signal: stopped.signal,
    progress: createProgress(),
    usage: () => client.usage,
    stop: () => client.stop(),
    make: client.make,
  });
  if (client.lost instanceof UserError) throw client.lost;
  if (signal !== undefined) throw new Interrupted(signal);
  return result;
}

/** A failure in a tree or on the disk, as an error for people that names the path. */
export function asUserError(error: unknown, shown: string): unknown {
  if (error instanceof Error && error.name === "DirectoryWriteError")
    return new UserError("save", error.message, { cause: error });
  if (error instanceof FsError) {
    const missing = error.code === "ENOENT";
    return new UserError("input", missing ? `${shown} does not exist` : `${shown}: ${error.reason}`, { cause: error });
  }
  // An error of a system call.
  const known = error instanceof Error && "syscall" in error && codeOf(error) !== undefined;
  return known ? new UserError("failure", `${shown}: ${messageOf(error)}`, { cause: error }) : error;
}
