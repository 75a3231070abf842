import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { UsageError, UserError } from "../../../app/errors.ts";
import { absolutePath, currentDirectory } from "../../../app/machine/current-directory.ts";
import { readAbout } from "../../../app/mount-info.ts";
import { ControlClient, ControlRefusal } from "../../../app/running/control-client.ts";
import { findMounted, readOutdatedFiles, readPendingFiles } from "../../../app/running/mounted.ts";
import { CONTROL_NAME } from "../../../attributes.ts";
import type { WarmFile } from "../../../generate/warm.ts";
import { findMountAt } from "../../../mountinfo.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { createProgress } from "../../output/progress.ts";
import { say, showJson } from "../../output/terminal.ts";
import { formatWarming, runWarming, sortByPath } from "../../output/warm-progress.ts";
import { onSignals, signalStatus } from "../../process/signals.ts";

export const warm = defineCommand({
  args: defineFlags({
    dir: { type: "positional", required: true, description: "the mount" },
    outdated: {
      type: "boolean",
      description: "generate again only the outdated files: those made from files that have changed since",
    },
    json: { type: "boolean", description: "print the result as JSON" },
  }),
  rest: {
    hint: "GLOB…",
    description: 'files to generate: "src/**", "*.md", a directory, "!*.test.ts" to exclude; default: all',
    atLeast: 0,
  },
  notes: [
    "Generates all pending files, each after the files that it depends on. The --concurrency of the mount limits how many are " +
      "generated in parallel. Ctrl-C stops, and keeps what has been generated.",
    `A file is outdated if a file that was read to make it has changed; ${CONTROL_NAME}/tree shows which files are. llmfs never ` +
      "generates them again on its own. --outdated does, each after the files that it depends on. A file is left as it is if the " +
      "files that it was made from turn out to have the same content as before.",
    `The exit status is ${EXIT.incomplete.code} if any file failed. Files that failed for the same reason share one line, which ` +
      "names three of them; --json and the log of the mount name them all.",
  ],
  async run(args, patterns) {
    const mountpoint = await findMounted(args.dir);
    const [{ selectFiles }, { orderFiles }, { rulesOf }] = await Promise.all([
      import("../../../generate/warm.ts"),
      import("../../../generate/binding.ts"),
      import("../../../generators/config/rule-summary.ts"),
    ]);
    const stopped = new AbortController();
    let signal: string | undefined;
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
      signal = name;
      stopped.abort();
    });
    const { mode, recordings, concurrency, depends = true, rules } = await readAbout(mountpoint);
    const pending = sortByPath<WarmFile>(
      args.outdated
        ? await readOutdatedFiles(mountpoint)
        : orderFiles(await readPendingFiles(mountpoint), depends, rules && rulesOf(rules)),
    );
    const inside = patterns.map((pattern) => toMountPattern(mountpoint, pattern));
    for (const pattern of inside) {
      const plain = [pattern.replace(/^!/, "")];
      if (selectFiles(pending, plain).length === 0 && selectFiles(listFiles(mountpoint), plain).length === 0) {
        throw new UsageError(
          `${pattern}: no file in ${args.dir} matches; a pattern is a path or a glob below ${args.dir}`,
        );
      }
    }
    await using client = await ControlClient.open(mountpoint);
    const device = findMountAt(mountpoint)?.device;
    let gone = false;
    const onLeave = () => {
      gone = true;
      stopped.abort();
    };
    const watch = setInterval(() => {
      if (findMountAt(mountpoint)?.device !== device) onLeave();
    }, WATCH_MS);
    using _watch = { [Symbol.dispose]: () => clearInterval(watch) };
    const result = await runWarming({
      files: selectFiles(pending, inside),
      concurrency,
      recording: { mode, recordings },
      signal: stopped.signal,
      progress: createProgress(),
      usage: () => client.usage,
      stop: () => client.stop(),
      make: (path) =>
        (args.outdated ? client.update : client.make)(path).catch((error: unknown) => {
          // The mount itself no longer answers.
          if (!(error instanceof ControlRefusal)) onLeave();
          throw error;
        }),
    });
    if (args.json) showJson(result);
    const kept = !gone ? "kept" : mode === "off" ? "lost with the mount, unless it is saved" : "recorded";
    if (args.outdated && result.total === 0) say("nothing is outdated");
    else for (const line of formatWarming(result, stopped.signal.aborted ? kept : undefined)) say(line);
    if (client.lost instanceof UserError) throw client.lost;
    if (gone) {
      throw new UserError("notMounted", `${args.dir} is no longer mounted: it was unmounted, or its process ended`);
    }
    if (signal !== undefined) return signalStatus(signal);
    return result.failed.length === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  },
});

/** How often to check that the mount is still there. An unmounted filesystem keeps working for programs with open files. */
const WATCH_MS = 250;

/** Makes a pattern relative to the mount. A shell expands globs to paths relative to its own directory. */
function toMountPattern(mountpoint: string, pattern: string): string {
  const plain = pattern.replace(/^!/, "");
  if (currentDirectory() === undefined) return pattern;
  const absolute = absolutePath(plain);
  if (!absolute.startsWith(`${mountpoint}/`)) return pattern;
  const path = absolute.slice(mountpoint.length + 1);
  const means = plain.startsWith("/") || (!existsSync(join(mountpoint, plain)) && existsSync(absolute));
  return means ? `${pattern.slice(0, pattern.length - plain.length)}${path}` : pattern;
}

/** Listing files generates nothing. */
function listFiles(mountpoint: string): { readonly path: string }[] {
  const entries = readdirSync(mountpoint, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map(({ parentPath, name }) => ({ path: join(parentPath, name).slice(mountpoint.length) }));
}
