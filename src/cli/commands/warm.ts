import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readAbout, readUsage } from "../about.ts";
import { command, flags } from "../command.ts";
import { EXIT, UsageError } from "../exit.ts";
import { mountedAt, pendingFiles } from "../mounted.ts";
import { createProgress } from "../progress.ts";
import { onSignals, signalStatus } from "../signals.ts";
import { say, show } from "../terminal.ts";
import { AHEAD, reasonsOf, warming, warmingText } from "../warming.ts";

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
    "Makes every file whose content is still to be made, those that others depend on first; the mount's own " +
      "--concurrency says how many are generated at a time. Ctrl-C stops and keeps what is done.",
    `The exit status is ${EXIT.incomplete.code} if any file failed; each is named, with the reason.`,
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
    for (const pattern of patterns) {
      if (chosen(pending, [pattern]).length === 0 && chosen(allFiles(mountpoint), [pattern]).length === 0)
        throw new UsageError(`${pattern}: no file in ${args.dir} matches`);
    }
    await using maker = await Maker.of(mountpoint);
    const result = await warming({
      files: chosen(pending, patterns),
      concurrency: readAbout(mountpoint).concurrency * AHEAD,
      signal: stopped.signal,
      progress: createProgress(),
      usage: () => readUsage(mountpoint),
      make: maker.make,
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
