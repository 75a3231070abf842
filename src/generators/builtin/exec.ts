/**
 * Uses a program's output as content: `{ "command": ["./report", "--csv"] }`.
 *
 * | option | |
 * |---|---|
 * | `command` | the program and its arguments, without a shell. A path with a slash is relative to the configuration file |
 * | `list` | the same for a program that lists: one path per line |
 * | `env` | environment variables to pass on, in addition to PATH, HOME, LANG, TZ, TMPDIR and LLMFS_MOUNT |
 * | `cwd` | the working directory; default: the directory of the configuration file |
 * | `maxBytes` | the maximum output; default: 64 MiB |
 *
 * The program gets `{ path, params, options, prompts, description, previous }` as JSON on standard input. Its standard error
 * goes to the log. Exit status 0 means success. Any other status is EIO, except for those of sysexits.h that have an errno.
 * When no reader waits any longer, or its time is over, its process group gets SIGTERM and then SIGKILL.
 */
import { existsSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { type ErrnoName, FsError } from "../../errno.ts";
import { type Options, readCount, readText, readTexts, refuseUnknownOptions } from "../config/options.ts";
import type { ListContext } from "../contract.ts";
import { refusePathInMount } from "../host-path.ts";
import { MOUNT_VARIABLE, type SourceGenerator, type SourceParts } from "../source.ts";
import { readTalk } from "../talk.ts";

const PASSED = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];
const MAX_BYTES = 64 * 1024 * 1024;
/** The maximum length of a listed path. Names have at most 255 bytes, but nesting is not limited. */
const LONGEST_PATH = 64 * 1024;

/** The statuses of sysexits.h, and 124 and 137 of timeout(1). */
const STATUSES = new Map<number, ErrnoName>([
  [66, "ENOENT"],
  [67, "EACCES"],
  [68, "EHOSTUNREACH"],
  [69, "EHOSTUNREACH"],
  [75, "EBUSY"],
  [77, "EACCES"],
  [124, "ETIMEDOUT"],
]);

export function createExecGenerator({ base, environment, groups, mountpoint }: SourceParts): SourceGenerator {
  function start(argv: readonly string[], options: Options, signal: AbortSignal) {
    signal.throwIfAborted();
    const [program = "", ...args] = argv;
    const found = program.includes("/") && !isAbsolute(program) ? join(base, program) : program;
    if (found.includes("/")) refusePathInMount("command", found, "copy the program elsewhere to run it");
    const names = [...PASSED, ...readTexts(options, "env")];
    const cwd = resolve(base, readText(options, "cwd") ?? ".");
    // Otherwise the error would say that the program does not exist.
    if (!existsSync(cwd)) throw new Error(`the option "cwd": the directory ${cwd} does not exist`);
    // A new session is also a process group, which includes everything that the program starts.
    const child = Bun.spawn({
      cmd: [found, ...args],
      cwd,
      env: { ...Object.fromEntries(names.map((name) => [name, environment[name]])), [MOUNT_VARIABLE]: mountpoint },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      // Read on demand. Otherwise the whole output would be in memory at once.
      lazy: true,
    });
    // Processes that it leaves running would keep its output open, so they are ended with it.
    groups.add(child);
    return child;
  }

  /** Streams the program's output. Rejects at the end if the exit status is not success. */
  async function* streamOutput(
    argv: readonly string[],
    options: Options,
    input: unknown,
    { signal, log, working }: Pick<ListContext, "signal" | "log" | "working">,
  ): AsyncGenerator<Uint8Array> {
    const child = startProgram(argv, () => start(argv, options, signal));
    working?.(child.pid);
    const stop = () => void groups.end(child.pid);
    signal.addEventListener("abort", stop, { once: true });
    const talk = readTalk(child.stderr, (line) => log.info(line));
    talk.catch(() => {});
    let ended = false;
    try {
      void writeInput(child.stdin, `${JSON.stringify(input)}\n`);
      yield* limitStderr(child.stdout, readCount(options, "maxBytes", MAX_BYTES, 1), argv);
      const [status, last] = await Promise.all([child.exited, talk]);
      ended = true;
      signal.throwIfAborted();
      if (status === 0) return;
      const how = child.signalCode === null ? `ended with status ${status}` : `was ended by ${child.signalCode}`;
      throw new FsError(
        STATUSES.get(status) ?? "EIO",
        `${argv[0]} ${how}${last === "" ? "" : `: ${last.slice(0, 500)}`}`,
      );
    } finally {
      // The rest of the output is not needed.
      if (!ended) stop();
      signal.removeEventListener("abort", stop);
    }
  }

  return {
    lists: (options) => options.list !== undefined,
    validate(options) {
      refuseUnknownOptions(options, ["command", "list", "env", "cwd", "maxBytes", "input"]);
      if (programOption(options, "command", base) === undefined)
        throw new Error('the option "command" is missing, such as ["date"]');
      programOption(options, "list", base);
      readTexts(options, "env");
      readText(options, "cwd");
      readCount(options, "maxBytes", 0, 1);
    },
    async generate(path, context) {
      const { options, params, prompts, file, previous } = context;
      const { description } = file;
      const input = { path, params, options: options.input ?? {}, prompts, description, previous };
      return { content: streamOutput(readTexts(options, "command"), options, input, context) };
    },
    async *list(path, context) {
      const argv = readTexts(context.options, "list");
      const input = { path, options: context.options.input ?? {} };
      const decoder = new TextDecoder();
      let rest = "";
      for await (const piece of streamOutput(argv, context.options, input, context)) {
        const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > LONGEST_PATH)
          throw new FsError("EIO", `${argv[0]} listed a line that is too long for a path`);
        for (const line of lines) if (line !== "") yield line;
      }
      if (rest !== "") yield rest;
    },
  };
}

/** The program, or undefined without the option. Rejects a whole command line given as one string. */
function programOption(options: Options, name: string, base: string): string | undefined {
  const [program, ...args] = readTexts(options, name);
  if (program === undefined || args.length > 0 || !/\s/.test(program.trim())) return program;
  if (program.includes("/") && existsSync(resolve(base, program))) return program;
  const words = program.trim().split(/\s+/);
  throw new Error(
    `the option "${name}" must be a list of a program and its arguments, but "${program}" is one word: write ` +
      `[${words.join(", ")}], or [sh, -c, ${JSON.stringify(program)}] to run it in a shell`,
  );
}

function startProgram<T>(argv: readonly string[], start: () => T): T {
  try {
    return start();
  } catch (cause) {
    if (cause instanceof FsError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FsError("EIO", `${argv[0]} cannot be started: ${why}`, { cause });
  }
}

/** A program that closes its input without reading it is not an error. */
async function writeInput(stdin: Bun.FileSink, text: string): Promise<void> {
  try {
    await stdin.write(text);
    await stdin.end();
  } catch {
    // The program has ended, or will report the problem itself.
  }
}

async function* limitStderr(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  argv: readonly string[],
): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const piece of stream) {
    length += piece.length;
    if (length > limit) {
      throw new FsError("EFBIG", `${argv[0]} wrote more than ${limit} bytes; to allow more, set the option "maxBytes"`);
    }
    yield piece;
  }
}
