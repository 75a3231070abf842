import { closeSync, openSync, statSync } from "node:fs";
import { codeOf, messageOf } from "../../errno.ts";
import { setxattr } from "../../libc.ts";
import { printableLine } from "../../printable.ts";
import { readAbout, readUsage } from "../about.ts";
import { ownCommand } from "../background.ts";
import { command, flags } from "../command.ts";
import { EXIT, UsageError } from "../exit.ts";
import { fileXattr, mountedFile } from "../mounted.ts";
import { createProgress } from "../progress.ts";
import { readPrompt } from "../prompt.ts";
import { onSignals, signalStatus } from "../signals.ts";
import { say } from "../terminal.ts";
import { warming, warmingText } from "../warming.ts";

/** src/fs/regen.ts says what it takes. */
const REGEN = "user.llmfs.regen";
const STATE = "user.llmfs.state";

export const regen = command({
  args: flags({
    prompt: {
      type: "string",
      alias: "F",
      valueHint: "TEXT|FILE",
      description: "the file's own instruction from here on (user.llmfs.prompt)",
    },
    force: { type: "boolean", description: "also what somebody wrote or changed, which is left alone otherwise" },
    undo: { type: "boolean", description: "bring the last contents back; again, and that is undone too" },
  }),
  rest: { hint: "PATH…", description: "files in a mount", atLeast: 1 },
  notes: [
    "The new content takes the old one's place when it is there; a program that has the file open keeps what it has. If " +
      "it cannot be made, the old content stays. The last content is kept in memory for --undo, until the mount ends.",
    "Of several files as many are made at a time as the mount generates.",
    "The model is asked again even if the answer is recorded, and the new answer is recorded in its place; with " +
      `--mode replay the recorded one comes again. The exit status is ${EXIT.incomplete.code} if a file failed.`,
    "A file that somebody wrote, or changed after it was generated, is left alone, named, and counts as failed; an empty " +
      "one has nothing to lose.",
  ],
  async run(args, paths) {
    if (args.undo && args.force) throw new UsageError("--undo and --force exclude each other");
    if (args.undo && args.prompt !== undefined) throw new UsageError("--undo and --prompt exclude each other");
    const prompt = args.prompt === undefined ? undefined : readPrompt("--prompt", args.prompt).text;
    const order = args.undo ? "undo" : prompt === undefined ? "again" : `again:${prompt}`;
    const files = new Map<string, string>();
    for (const path of paths) {
      mountedFile(path);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat?.isDirectory() === true) {
        throw new UsageError(`${path} is a directory; name the files in it that are to be made anew`);
      }
      const file = stat === undefined ? path : `${stat.dev}:${stat.ino}`;
      if (!files.has(file)) files.set(file, path);
    }
    const alone = args.undo || args.force ? [] : [...files.values()].filter(isSomebodys);
    for (const path of alone) {
      say(`left alone: ${path}: somebody wrote what is in it; --force has it made anew all the same`);
    }
    const wanted = (args.undo ? paths : [...files.values()]).filter((path) => !alone.includes(path));
    if (!args.undo && wanted.length > 1) {
      const status = await several(wanted, prompt);
      return status === EXIT.ok.code && alone.length > 0 ? EXIT.incomplete.code : status;
    }
    const progress = createProgress();
    let failed = alone.length;
    for (const path of wanted) {
      progress.step(`${args.undo ? "bringing back" : "generating"} ${path}`);
      const problem = once(path, order);
      progress.clear();
      if (problem === undefined) continue;
      failed += 1;
      say(failure(path, problem));
    }
    return failed === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  },
});

/** Whether there is something in the file that no generator can bring back. */
function isSomebodys(path: string): boolean {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return size > 0 && fileXattr(path, STATE) === "static";
}

/** As many at a time as the mount generates, each in a process of its own: what follows is one thread's affair. */
async function several(paths: readonly string[], prompt: string | undefined): Promise<number> {
  const { mountpoint } = mountedFile(paths[0] ?? ".");
  const stopped = new AbortController();
  let signal: string | undefined;
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
    signal = name;
    stopped.abort();
  });
  const result = await warming({
    files: paths.map((path) => ({ path })),
    concurrency: readAbout(mountpoint).concurrency,
    signal: stopped.signal,
    progress: createProgress(),
    usage: () => readUsage(mountpoint),
    make: (path) => inProcess(path, prompt, stopped.signal),
  });
  for (const line of warmingText(result, signal === undefined ? undefined : "kept")) say(line);
  if (signal !== undefined) return signalStatus(signal);
  return result.failed.length === 0 ? EXIT.ok.code : EXIT.incomplete.code;
}

/** Rejects with what the process says of its failure. */
async function inProcess(path: string, prompt: string | undefined, signal: AbortSignal): Promise<void> {
  const child = Bun.spawn({
    // What is to be left alone was left alone above.
    cmd: [...ownCommand(), "regen", "--force", ...(prompt === undefined ? [] : ["--prompt", "-"]), "--", path],
    stdio: [prompt === undefined ? "ignore" : Buffer.from(prompt), "ignore", "pipe"],
    signal,
    killSignal: "SIGINT",
  });
  const said = await child.stderr.text();
  if ((await child.exited) === EXIT.ok.code) return;
  const lines = said.trim().split("\n");
  const reason = lines.find((line) => line.startsWith("failed: ")) ?? lines.at(-1) ?? "";
  throw new Error(reason.replace(failure(path, ""), ""));
}

function failure(path: string, problem: string): string {
  return `failed: ${printableLine(path)}: ${problem}`;
}

/** Both calls from one thread: that is how the mount knows whose open is to wait. Returns what went wrong. */
function once(path: string, order: string): string | undefined {
  try {
    setxattr(path, REGEN, order);
  } catch (error) {
    if (codeOf(error) === "ENODATA") return "there is no earlier content";
    if (codeOf(error) === "ENOENT") return "no such file";
    if (codeOf(error) === "EOPNOTSUPP") return "it is made anew by itself: see its user.llmfs.refresh";
    return messageOf(error);
  }
  try {
    closeSync(openSync(path, "r"));
    return undefined;
  } catch (error) {
    const attribute = fileXattr(path, REGEN) ?? fileXattr(path, "user.llmfs.error");
    return attribute ?? messageOf(error);
  }
}
