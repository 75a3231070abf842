import { type Stats, statSync } from "node:fs";
import { UsageError, UserError } from "../../../app/errors.ts";
import { readAbout } from "../../../app/mount-info.ts";
import { ControlClient } from "../../../app/running/control-client.ts";
import { findMountedFile } from "../../../app/running/mounted.ts";
import { readPrompt } from "../../../app/settings/prompt.ts";
import { PROMPT } from "../../../attributes.ts";
import { codeOf, messageOf } from "../../../errno.ts";
import { printableLine } from "../../../text/printable.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { createProgress } from "../../output/progress.ts";
import { say, showJson } from "../../output/terminal.ts";
import { describeCost, formatWarming, runWarming, type Spent, type Warming } from "../../output/warm-progress.ts";
import { onSignals, signalStatus } from "../../process/signals.ts";

export const regen = defineCommand({
  args: defineFlags({
    prompt: {
      type: "string",
      alias: "F",
      valueHint: "TEXT|FILE",
      description: `set the file's own instruction (${PROMPT})`,
    },
    force: {
      type: "boolean",
      description: "also replace files that somebody wrote or changed; default: leave them alone",
    },
    undo: { type: "boolean", description: "restore the previous content; run again to redo" },
    json: { type: "boolean", description: "print the result as JSON" },
  }),
  rest: { hint: "PATH…", description: "files in a mount", atLeast: 1 },
  notes: [
    "The new content replaces the old one when it is complete; a program that has the file open keeps the old one. If " +
      "generation fails, the old content stays. --undo restores the previous content, which is kept in memory until the " +
      "file is removed or emptied, or the mount ends. The previous content of a file with `refresh` is not kept.",
    "The model is asked even if an answer is recorded, and the new answer replaces the recording. With --mode replay, the " +
      "recorded answer is used again.",
    "Several files are generated in parallel, up to the --concurrency of the mount. The exit status is " +
      `${EXIT.incomplete.code} if a file failed.`,
    "A file that somebody wrote, or changed after it was generated, is left alone, reported, and counts as failed, unless " +
      "it is empty.",
  ],
  async run(args, paths) {
    if (args.undo && args.force) throw new UsageError("--undo and --force exclude each other");
    if (args.undo && args.prompt !== undefined) throw new UsageError("--undo and --prompt exclude each other");
    const prompt = args.prompt === undefined ? undefined : readPrompt("--prompt", args.prompt).text;
    await using mounts = await Mounts.of(paths);
    const wanted = args.undo ? paths : removeDuplicates(paths);
    const stopped = new AbortController();
    let signal: string | undefined;
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
      signal = name;
      stopped.abort();
    });
    const alone = new Set<string>();
    const one = async (path: string): Promise<void> => {
      const { client, inside } = mounts.find(path);
      if (args.undo) return client.undo(inside);
      return client.regen(inside, { prompt, force: args.force }).catch((error: unknown) => {
        // It was written or changed by hand.
        if (codeOf(error) === "EEXIST") alone.add(path);
        throw error;
      });
    };
    const result = await (args.undo || wanted.length === 1 ? regenerateInOrder : regenerateTogether)(wanted, {
      one,
      alone,
      mounts,
      signal: stopped.signal,
      doing: args.undo ? "restoring" : "generating",
    });
    if (args.json) showJson({ ...result, skipped: alone.size === 0 ? undefined : [...alone] });
    if (signal !== undefined) return signalStatus(signal);
    if (mounts.lost !== undefined) throw mounts.lost;
    return result.failed.length + alone.size === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  },
});

interface Work {
  one(path: string): Promise<void>;
  /** The files skipped so far because they were written by hand. */
  readonly alone: ReadonlySet<string>;
  readonly mounts: Mounts;
  readonly signal: AbortSignal;
  readonly doing: string;
}

/** The failures do not include skipped files. */
async function regenerateInOrder(
  paths: readonly string[],
  { one, alone, mounts, signal, doing }: Work,
): Promise<Warming> {
  const progress = createProgress();
  const begun = performance.now();
  const before = mounts.usage;
  signal.addEventListener("abort", () => void mounts.stop());
  let done = 0;
  const failed: { path: string; error: string }[] = [];
  for (const path of paths) {
    if (signal.aborted) break;
    progress.step(`${doing} ${path}`);
    try {
      await one(path);
      done += 1;
      progress.clear();
    } catch (error) {
      progress.clear();
      if (signal.aborted) break;
      if (!alone.has(path)) failed.push({ path, error: messageOf(error) });
      say(alone.has(path) ? explainLeftAlone(path) : `failed: ${printableLine(path)}: ${messageOf(error)}`);
    }
  }
  const state = { total: paths.length - alone.size, done, failed };
  return { ...state, ...describeCost(before, mounts.usage, begun) };
}

async function regenerateTogether(paths: readonly string[], { one, alone, mounts, signal }: Work): Promise<Warming> {
  const all = await runWarming({
    files: paths.map((path) => ({ path })),
    concurrency: mounts.concurrency,
    signal,
    progress: createProgress(),
    usage: () => mounts.usage,
    make: one,
    stop: () => mounts.stop(),
  });
  for (const path of alone) say(explainLeftAlone(path));
  const failed = all.failed.filter(({ path }) => !alone.has(path));
  const result = { ...all, total: all.total - alone.size, failed };
  if (result.total > 0) for (const line of formatWarming(result, signal.aborted ? "kept" : undefined)) say(line);
  return result;
}

function explainLeftAlone(path: string): string {
  return `skipped: ${printableLine(path)} was written by hand; use --force to regenerate it`;
}

/** Returns one path per file, even if several hard links of it are given. Throws UsageError for a directory. */
function removeDuplicates(paths: readonly string[]): readonly string[] {
  const files = new Map<string, string>();
  for (const path of paths) {
    const stat = statOf(path);
    if (stat?.isDirectory() === true) {
      throw new UsageError(`${path} is a directory; name the files in it to regenerate`);
    }
    const file = stat === undefined ? path : `${stat.dev}:${stat.ino}`;
    if (!files.has(file)) files.set(file, path);
  }
  return [...files.values()];
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    // The mount reports the error for this path.
    return undefined;
  }
}

/** The mounts that contain the files. */
class Mounts implements AsyncDisposable {
  readonly #files: ReadonlyMap<string, Awaited<ReturnType<typeof findMountedFile>>>;
  readonly #clients: ReadonlyMap<string, ControlClient>;
  readonly concurrency: number;

  private constructor(
    files: ReadonlyMap<string, Awaited<ReturnType<typeof findMountedFile>>>,
    clients: Map<string, ControlClient>,
    concurrency: number,
  ) {
    this.#files = files;
    this.#clients = clients;
    this.concurrency = concurrency;
  }

  /** Throws UserError with "notMounted" or "unresponsive". */
  static async of(paths: readonly string[]): Promise<Mounts> {
    const files = new Map(await Promise.all(paths.map(async (path) => [path, await findMountedFile(path)] as const)));
    const clients = new Map<string, ControlClient>();
    for (const { mountpoint } of files.values()) {
      if (!clients.has(mountpoint)) clients.set(mountpoint, await ControlClient.open(mountpoint));
    }
    const about = await Promise.all(clients.keys().map((mountpoint) => readAbout(mountpoint)));
    return new Mounts(files, clients, Math.max(...about.map(({ concurrency }) => concurrency)));
  }

  find(path: string): { readonly client: ControlClient; readonly inside: string } {
    const file = this.#files.get(path);
    const client = file && this.#clients.get(file.mountpoint);
    if (client === undefined) throw new Error(`${path} is not one of the paths given to Mounts.of`);
    return { client, inside: file?.path ?? "/" };
  }

  get usage(): Spent {
    const sum = { calls: 0, inputTokens: 0, outputTokens: 0, usd: 0 };
    for (const { usage } of this.#clients.values()) {
      sum.calls += usage?.calls ?? 0;
      sum.inputTokens += usage?.inputTokens ?? 0;
      sum.outputTokens += usage?.outputTokens ?? 0;
      sum.usd += usage?.usd ?? 0;
    }
    return sum;
  }

  /** The error of a mount that no longer answers. */
  get lost(): UserError | undefined {
    for (const [mountpoint, { lost }] of this.#clients) {
      if (lost instanceof UserError) return lost;
      if (lost !== undefined) return new UserError("notMounted", `${mountpoint} is no longer mounted`);
    }
    return undefined;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.values().map((client) => client.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients.values()) await client[Symbol.asyncDispose]();
  }
}
