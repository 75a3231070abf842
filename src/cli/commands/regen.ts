import { closeSync, openSync, statSync } from "node:fs";
import { codeOf, messageOf } from "../../errno.ts";
import { setxattr } from "../../libc.ts";
import { command, flags } from "../command.ts";
import { EXIT, UsageError } from "../exit.ts";
import { fileXattr, mountedFile } from "../mounted.ts";
import { createProgress } from "../progress.ts";
import { readPrompt } from "../prompt.ts";
import { say } from "../terminal.ts";

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
    for (const path of paths) {
      mountedFile(path);
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
        throw new UsageError(`${path} is a directory; name the files in it that are to be made anew`);
      }
    }
    const progress = createProgress();
    let failed = 0;
    for (const path of paths) {
      if (!args.undo && !args.force && isSomebodys(path)) {
        failed += 1;
        say(`left alone: ${path}: somebody wrote what is in it; --force has it made anew all the same`);
        continue;
      }
      progress.step(`${args.undo ? "bringing back" : "generating"} ${path}`);
      const problem = once(path, order);
      progress.clear();
      if (problem === undefined) continue;
      failed += 1;
      say(`failed: ${path}: ${problem}`);
    }
    return failed === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  },
});

/** Whether there is something in the file that no generator can bring back. */
function isSomebodys(path: string): boolean {
  return fileXattr(path, STATE) === "static" && statSync(path).size > 0;
}

/** Both calls from one thread: that is how the mount knows whose open is to wait. Returns what went wrong. */
function once(path: string, order: string): string | undefined {
  try {
    setxattr(path, REGEN, order);
  } catch (error) {
    if (codeOf(error) === "ENODATA") return "there is no earlier content";
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
