import { existsSync, readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { readAbout, readUsage } from "../about.ts";
import { command, flags } from "../command.ts";
import { absolutePath, currentDirectory } from "../cwd.ts";
import { CliError, EXIT, UsageError } from "../exit.ts";
import { mountedAt, pendingFiles } from "../mounted.ts";
import { createProgress } from "../progress.ts";
import { onSignals, signalStatus } from "../signals.ts";
import { say, showJson } from "../terminal.ts";
import { reasonsOf, warming, warmingText } from "../warming.ts";

export const warm = command({
  args: flags({
    dir: { type: "positional", required: true, description: "where the filesystem is mounted" },
    json: { type: "boolean", description: "print what came of it as JSON" },
  }),
  rest: {
    hint: "GLOB…",
    description: 'only these: "src/**", "*.md", a directory, "!*.test.ts" for all but those; default everything',
    atLeast: 0,
  },
  notes: [
    "Makes every file whose content is still to be made, those that others depend on first; the mount's own " +
      "--concurrency says how many are generated at a time. Ctrl-C stops and keeps what is done.",
    `The exit status is ${EXIT.incomplete.code} if any file failed. Files that failed for the same reason share a line, ` +
      "which names three of them; --json and the mount's log name all.",
  ],
  async run(args, patterns) {
    const mountpoint = mountedAt(args.dir);
    const { chosen } = await import("../../generate/warm.ts");
    const { Maker } = await import("../maker.ts");
    const stopped = new AbortController();
    let signal: string | undefined;
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
      signal = name;
      stopped.abort();
    });
    const pending = pendingFiles(mountpoint);
    const inside = patterns.map((pattern) => below(mountpoint, pattern));
    for (const pattern of inside) {
      const plain = [pattern.replace(/^!/, "")];
      if (chosen(pending, plain).length === 0 && chosen(allFiles(mountpoint), plain).length === 0) {
        throw new UsageError(
          `${pattern}: no file in ${args.dir} matches; a pattern is a path or a glob below ${args.dir}`,
        );
      }
    }
    await using maker = await Maker.of(mountpoint);
    // By way of an open directory what was spent can be read even when the mount is out of sight.
    await using root = await open(mountpoint);
    const { mode, concurrency } = readAbout(mountpoint);
    let usage = readUsage(mountpoint);
    const used = () => {
      try {
        usage = readUsage(`/proc/self/fd/${root.fd}`);
      } catch {
        // Gone with the mount; what was read last is the sum.
      }
      return usage;
    };
    let gone = false;
    const watch = setInterval(() => {
      if (isThere(mountpoint)) return;
      gone = true;
      stopped.abort();
    }, WATCH_MS);
    using _watch = { [Symbol.dispose]: () => clearInterval(watch) };
    const result = await warming({
      files: chosen(pending, inside),
      concurrency,
      signal: stopped.signal,
      progress: createProgress(),
      usage: used,
      stop: async () => {
        const before = JSON.stringify(used());
        if (!(await maker.stop())) return;
        for (let last = before, tries = SETTLE_TRIES; tries > 0; tries--) {
          await Bun.sleep(SETTLE_MS);
          const now = JSON.stringify(used());
          if (now !== before && now === last) return;
          last = now;
        }
      },
      make: (path) =>
        maker.make(path).catch((error: unknown) => {
          gone ||= !isThere(mountpoint);
          if (gone) stopped.abort();
          throw error;
        }),
      reasons: () => (isThere(mountpoint) ? reasonsOf(pendingFiles(mountpoint)) : new Map()),
    });
    gone ||= !isThere(mountpoint);
    if (args.json) showJson(result);
    const kept = !gone ? "kept" : mode === "off" ? "gone with the mount, unless that is saved" : "recorded";
    for (const line of warmingText(result, stopped.signal.aborted ? kept : undefined)) say(line);
    if (gone) {
      throw new CliError("notMounted", `${args.dir} is no longer mounted: somebody unmounted it, or its process ended`);
    }
    if (signal !== undefined) return signalStatus(signal);
    return result.failed.length === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  },
});

/** How often it is looked whether the mount is still there: it goes on for whoever has a file of it open. */
const WATCH_MS = 250;
/** Calls that are called off are booked in a moment: the sum is waited for until it changes no more, but not for long. */
const SETTLE_MS = 20;
const SETTLE_TRIES = 25;

/** Whether the mount answers: of one whose process is gone the kernel still knows some names. */
function isThere(mountpoint: string): boolean {
  try {
    readAbout(mountpoint);
    return true;
  } catch {
    return false;
  }
}

/** A pattern as a path below the mount; also one that leads into it from where the shell is, as shells write them out. */
function below(mountpoint: string, pattern: string): string {
  const plain = pattern.replace(/^!/, "");
  if (currentDirectory() === undefined) return pattern;
  const absolute = absolutePath(plain);
  if (!absolute.startsWith(`${mountpoint}/`)) return pattern;
  const path = absolute.slice(mountpoint.length + 1);
  const means = plain.startsWith("/") || (!existsSync(join(mountpoint, plain)) && existsSync(absolute));
  return means ? `${pattern.slice(0, pattern.length - plain.length)}${path}` : pattern;
}

/** Looking is free. */
function allFiles(mountpoint: string): { readonly path: string }[] {
  const entries = readdirSync(mountpoint, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map(({ parentPath, name }) => ({ path: join(parentPath, name).slice(mountpoint.length) }));
}
