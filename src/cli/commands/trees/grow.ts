import { configure } from "../../../app/configuration/configure.ts";
import { UsageError, UserError } from "../../../app/errors.ts";
import { openGeneration } from "../../../app/generation.ts";
import { growSnapshot } from "../../../app/layout/grow-snapshot.ts";
import { describeLeftOut } from "../../../app/layout/growing.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { findFile, resolveExistingPath } from "../../../app/mountpoint.ts";
import { ControlClient, ControlRefusal } from "../../../app/running/control-client.ts";
import { findMount } from "../../../app/running/find-mount.ts";
import { findMountedFile } from "../../../app/running/mounted.ts";
import { readPrompt } from "../../../app/settings/prompt.ts";
import { shellWord } from "../../../fuse/mounting/mountpoint.ts";
import type { Growth, NewEntry } from "../../../rpc/growth.ts";
import { printableLine } from "../../../text/printable.ts";
import { type Args, defineCommand, defineFlags } from "../../args/command.ts";
import { configFlags, contextFlags, logFlags, modelFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { failureOfModel } from "../../output/explain-error.ts";
import { createProgress } from "../../output/progress.ts";
import { say, show, showExactly, showJson } from "../../output/terminal.ts";
import { holdSnapshot } from "../../preflight/hold-snapshot.ts";
import { checkSave, writeSnapshotFile } from "../../preflight/output-paths.ts";
import { openLog } from "../../process/serve.ts";
import { Interrupted, onSignals, signalStatus } from "../../process/signals.ts";

const { contentPrompt: _, ...layoutModelFlags } = modelFlags;

const snapshotFlags = defineFlags({ ...layoutModelFlags, ...contextFlags, ...configFlags, ...logFlags });

const args = defineFlags({
  dir: {
    type: "positional",
    required: false,
    description:
      "the mount, or a directory in it that gets the files and need not exist; default: the current directory. With --from, a path in the snapshot; default: its root",
  },
  prompt: {
    type: "string",
    alias: "F",
    valueHint: "TEXT|FILE",
    description: "what to add: text, a file, @FILE, or - for standard input",
  },
  dryRun: {
    type: "boolean",
    description: "list the files and change nothing; the answer is recorded, so adding them then costs nothing",
  },
  json: { type: "boolean", description: "print the result as JSON" },
  from: {
    type: "string",
    valueHint: "FILE|DIR",
    description: "add to a snapshot, or to a copy of a directory, instead of a mount",
  },
  output: {
    type: "string",
    alias: "o",
    valueHint: "FILE",
    description: "with --from, write the snapshot to FILE; default: standard output",
  },
  ...snapshotFlags,
});

type GrowArgs = Args<typeof args>;

export const grow = defineCommand({
  args,
  notes: [
    "A model sees the tree (names, descriptions, and the declarations in files near DIR) and lays out more files. The new " +
      "files are pending, and those that use existing files are generated with these in view. Existing files are never " +
      "changed: if the model proposes one of them, it is reported and left as it is.",
    "All files are added, or none: Ctrl-C before the layout is complete leaves the tree as it was.",
    "A mount uses its own model, budget and recordings, so the flags for models need --from.",
    `The exit status is ${EXIT.incomplete.code} if something that the model proposed was left out.`,
  ],
  async run(given) {
    if (given.prompt === undefined) throw new UsageError("--prompt is missing; say what to add");
    const prompt = readPrompt("--prompt", given.prompt).text;
    return given.from === undefined ? growMounted(given, prompt) : growFile(given, given.from, prompt);
  },
});

async function growMounted(given: GrowArgs, prompt: string): Promise<number> {
  for (const [flag, value] of Object.entries(given)) {
    const forSnapshots = flag === "output" || Object.hasOwn(snapshotFlags, flag);
    if (forSnapshots && value !== undefined && value !== false) {
      const name = flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      throw new UsageError(`--${name} needs --from; a mount has its own settings`);
    }
  }
  const place = given.dir ?? ".";
  if (findMount(place) === undefined && findFile(place) !== undefined) {
    const from = shellWord(place);
    throw new UsageError(`${place} is a file, not a mount; if it is a snapshot, write --from ${from} -o ${from}`);
  }
  const { mountpoint, path } = await findMountedFile(resolveExistingPath(place));
  await using client = await ControlClient.open(mountpoint);
  const progress = createProgress();
  let signal: string | undefined;
  using _signals = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
    signal = name;
    void client.stop();
  });
  progress.step("laying out what to add");
  try {
    const growth = await client.grow(path, { prompt, dry: given.dryRun });
    progress.clear();
    report(growth, given);
    return statusOf(growth);
  } catch (error) {
    progress.clear();
    if (client.lost instanceof UserError) throw client.lost;
    if (!(error instanceof ControlRefusal)) throw error;
    if (signal !== undefined) {
      say("cancelled; nothing was added");
      return signalStatus(signal);
    }
    const reason = error.code === "EROFS" ? "the mount is read-only" : error.reason;
    const exit = failureOfModel(error.kind) ?? "failure";
    throw new UserError(exit, `nothing was added to ${place}: ${reason}`, { cause: error });
  } finally {
    progress.clear();
  }
}

async function growFile(given: GrowArgs, from: string, prompt: string): Promise<number> {
  const { prompt: _prompt, from: _from, ...settings } = given;
  const config = await configure({ ...settings, logFile: given.logFile ?? "-" }, person);
  const { output, dryRun } = given;
  const toFile = output !== undefined && output !== "-";
  if (dryRun && output !== undefined) throw new UsageError("--dry-run writes nothing, so --output excludes it");
  if (given.json && !toFile && !dryRun)
    throw new UsageError("--json needs --output FILE or --dry-run: the snapshot is JSON itself");
  if (toFile) await checkSave("--output", absolutePath(output));
  // Which may be the snapshot itself.
  await using _held = toFile ? await holdSnapshot(absolutePath(output)) : undefined;
  const progress = createProgress();
  const log = openLog(config, "warn", progress);
  const interrupted = new AbortController();
  using _signals = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => interrupted.abort(new Interrupted(name)));
  await using generation = openGeneration(config, log);
  try {
    const within = `/${(given.dir ?? "")
      .split("/")
      .filter((name) => name !== "" && name !== ".")
      .join("/")}`;
    const { growth, pieces } = await growSnapshot({
      from: absolutePath(from),
      within,
      prompt,
      dry: dryRun,
      config,
      generation,
      log,
      progress,
      signal: interrupted.signal,
    });
    progress.clear();
    interrupted.signal.throwIfAborted();
    if (dryRun) report(growth, given);
    else if (toFile) {
      await writeSnapshotFile(output, pieces, from);
      report(growth, given);
    } else {
      for await (const piece of pieces) showExactly(piece);
      for (const line of describeLeftOut(growth)) say(`left out: ${printableLine(line)}`);
    }
    return statusOf(growth);
  } catch (error) {
    throw interrupted.signal.aborted ? interrupted.signal.reason : error;
  } finally {
    progress.clear();
    await log.close();
  }
}

function report(growth: Growth, { json }: Pick<GrowArgs, "json">): void {
  const { entries, added } = growth;
  if (json) showJson(growth);
  else
    show(
      entries
        .filter(({ type }) => type !== "directory")
        .map((entry) => `${formatEntry(entry)}\n`)
        .join(""),
    );
  for (const line of describeLeftOut(growth)) say(`left out: ${printableLine(line)}`);
  if (!json && added) say(`added ${count(entries, "file")} and ${count(entries, "directory", "directories")}`);
}

function count(entries: readonly NewEntry[], type: NewEntry["type"], plural: string = `${type}s`): string {
  const found = entries.filter((entry) => entry.type === type).length;
  return `${found} ${found === 1 ? type : plural}`;
}

function formatEntry({ type, path, description, uses, target }: NewEntry): string {
  const shown = printableLine(path);
  if (type === "symlink") return `${shown} -> ${printableLine(target ?? "")}`;
  const after = uses === undefined ? "" : ` (uses ${uses.map(printableLine).join(", ")})`;
  return `${shown}${description ? `  ${printableLine(description)}` : ""}${after}`;
}

function statusOf({ clashes, leftOut }: Growth): number {
  return clashes.length + leftOut.length === 0 ? EXIT.ok.code : EXIT.incomplete.code;
}
