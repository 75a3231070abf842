import { readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { readAbout, readUsage } from "../about.ts";
import { ownCommand } from "../background.ts";
import { forwardSignals } from "../child.ts";
import { command, flags } from "../command.ts";
import { childEnvironment, THREADS_VARIABLE, threads } from "../config.ts";
import { EXIT, UsageError } from "../exit.ts";
import { mountedAt, pendingFiles } from "../mounted.ts";
import { createProgress } from "../progress.ts";
import { onSignals, signalStatus } from "../signals.ts";
import { say, show } from "../terminal.ts";
import { reasonsOf, warming, warmingText } from "../warming.ts";

/** More wait in the mount than it generates at a time, so that it never waits for us. */
const AHEAD = 2;
const MOST = 256;

export const warm = command({
  args: flags({
    dir: { type: "positional", required: true, description: "where the filesystem is mounted" },
    json: { type: "boolean", description: "print what came of it as JSON" },
  }),
  rest: {
    hint: "GLOB…",
    description: 'only these: "src/**", "*.md", or a directory; default everything',
    atLeast: 0,
  },
  notes: [
    "Opens every file whose content is still to be made, those that others depend on first; the mount's own " +
      "--concurrency says how many are generated at a time. Ctrl-C stops and keeps what is done.",
    `The exit status is ${EXIT.incomplete.code} if any file failed; each is named, with the reason.`,
  ],
  async run(args, patterns) {
    const mountpoint = mountedAt(args.dir);
    const concurrency = Math.min(MOST, readAbout(mountpoint).concurrency * AHEAD);
    // An open that waits takes a thread, and how many there are is decided when a process starts.
    if (threads() <= concurrency) return again(concurrency + 4);
    const { chosen } = await import("../../generate/warm.ts");
    const { pathBytes } = await import("../../fs/still.ts");
    const stopped = new AbortController();
    let signal: string | undefined;
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
      signal = name;
      stopped.abort();
    });
    const pending = pendingFiles(mountpoint);
    for (const pattern of patterns) {
      if (chosen(pending, [pattern]).length === 0 && chosen(allFiles(mountpoint), [pattern]).length === 0)
        throw new UsageError(`${pattern}: no file in ${args.dir} matches`);
    }
    const result = await warming({
      files: chosen(pending, patterns),
      concurrency,
      signal: stopped.signal,
      progress: createProgress(),
      usage: () => readUsage(mountpoint),
      make: async (path) => {
        await using _handle = await open(Buffer.concat([Buffer.from(join(mountpoint, "/")), pathBytes(path.slice(1))]));
      },
      reasons: () => reasonsOf(pendingFiles(mountpoint)),
    });
    if (args.json) show(`${JSON.stringify(result, null, 2)}\n`);
    for (const line of warmingText(result, signal === undefined ? undefined : "kept")) say(line);
    if (signal !== undefined) return signalStatus(signal);
    return result.failed.length === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  },
});

/** Looking is free. */
function allFiles(mountpoint: string): { readonly path: string }[] {
  const entries = readdirSync(mountpoint, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map(({ parentPath, name }) => ({ path: join(parentPath, name).slice(mountpoint.length) }));
}

/** The same command in a process with so many threads. */
function again(count: number): Promise<number> {
  const child = Bun.spawn({
    cmd: [...ownCommand(), ...process.argv.slice(2)],
    env: childEnvironment({ [THREADS_VARIABLE]: String(count) }),
    stdio: ["inherit", "inherit", "inherit"],
  });
  return forwardSignals(child);
}
