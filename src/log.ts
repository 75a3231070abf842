/**
 * The log: to standard error for the person who is watching, and to a file for the one who looks later.
 *
 * Every line has a level and a tag, the folder of `src/` it comes from. Secrets are blotted out of every line before
 * anything is written, and nothing in a line is obeyed by a terminal that shows the file. The file is opened with its first line, is rotated by size, and may fail: a folder that can't be
 * written costs one warning, never the mount.
 */
import { type ConsolaInstance, createConsola } from "consola/core";
import type { LogFile } from "./log-file.ts";
import { printable } from "./text/printable.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** consola's numbers for the levels. */
const RANK = { error: 0, warn: 1, info: 3, debug: 4 } as const;

export interface LogOptions {
  /** The least level that goes to standard error. */
  readonly terminal: LogLevel;
  /** The least level that goes to the file. */
  readonly file: LogLevel;
  /** Absolute path; undefined for no file. */
  readonly path: string | undefined;
  /** Writes one line to standard error, the first `length` characters of it in a colour if there is a mark. */
  readonly print: (line: string, mark?: { readonly length: number; readonly color: number }) => void;
  readonly color: boolean;
  /** Strings that must never be written: keys, passwords. */
  readonly secrets: readonly string[];
}

export interface Logger {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

export interface Log {
  tagged(tag: string): Logger;
  write(level: LogLevel, tag: string, text: string): void;
  /** What the user is to see although nothing is wrong: without a word for its level there, at level "info" in the file. */
  notice(tag: string, text: string): void;
  /** Stops writing to standard error: the terminal belongs to somebody else from here on. */
  detach(): void;
  /** Resolves when every line so far is in the file. */
  close(): Promise<void>;
}

export function createLog(options: LogOptions): Log {
  const redact = redactor(options.secrets);
  const file = options.path === undefined ? undefined : lazyFile(options.path, (text) => print("warn", "log", text));
  let attached = true;

  function print(level: LogLevel, tag: string, text: string): void {
    if (!attached || RANK[level] > RANK[options.terminal]) return;
    const head = terminalHead(level, tag);
    options.print(`${head}${text}`, options.color ? { length: head.length, color: COLOR[level] } : undefined);
  }

  const consola: ConsolaInstance = createConsola({
    level: RANK.debug,
    throttle: 0,
    reporters: [
      {
        log({ type, tag, args, date }) {
          const level = isLevel(type) ? type : "info";
          const text = redact(args.map(String).join(" "));
          print(level, tag, text);
          if (RANK[level] <= RANK[options.file]) file?.write(fileLine(date, level, tag, text));
        },
      },
    ],
  });

  return {
    tagged: (tag) => {
      const tagged = consola.withTag(tag);
      return {
        debug: (text) => tagged.debug(text),
        info: (text) => tagged.info(text),
        warn: (text) => tagged.warn(text),
        error: (text) => tagged.error(text),
      };
    },
    write: (level, tag, text) => consola.withTag(tag)[level](text),
    notice: (tag, text) => {
      // At level "info" the terminal has it from the log itself.
      if (attached && RANK[options.terminal] < RANK.info) options.print(redact(text));
      consola.withTag(tag).info(text);
    },
    detach: () => {
      attached = false;
    },
    close: async () => file?.close(),
  };
}

function isLevel(type: string): type is LogLevel {
  return Object.hasOwn(RANK, type);
}

/** Blots out each secret; very short ones are left, for they would blot out ordinary text. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const long = secrets.filter((secret) => secret.length >= 6);
  return (text) => long.reduce((clean, secret) => clean.replaceAll(secret, "[redacted]"), text);
}

const COLOR = { error: 31, warn: 33, info: 39, debug: 90 } as const;

function terminalHead(level: LogLevel, tag: string): string {
  const word = level === "info" ? "" : `${level === "warn" ? "warning" : level}: `;
  return level === "debug" && tag !== "" ? `${word}${tag}: ` : word;
}

/** One line an entry, whatever the text holds. */
function fileLine(date: Date, level: LogLevel, tag: string, text: string): string {
  const body = printable(text.replaceAll("\\", "\\\\").replaceAll("\r", "\\r").replaceAll("\n", "\n    "));
  return `${date.toISOString()} ${process.pid} ${level} ${tag === "" ? "llmfs" : tag}: ${body}\n`;
}

/** Opens the file with the first line, and keeps the lines that come while it opens. */
function lazyFile(path: string, warn: (text: string) => void): { write(line: string): void; close(): Promise<void> } {
  let opening: Promise<LogFile | undefined> | undefined;
  let waiting: string[] | undefined = [];
  let file: LogFile | undefined;

  async function open(): Promise<LogFile | undefined> {
    const { openLogFile } = await import("./log-file.ts");
    file = await openLogFile(path, (reason) =>
      warn(
        `the log file ${path} cannot be written (${reason}); going on without; --log-file or XDG_STATE_HOME names another place`,
      ),
    );
    for (const line of waiting ?? []) file?.write(line);
    waiting = undefined;
    return file;
  }

  return {
    write(line) {
      if (waiting === undefined) file?.write(line);
      else waiting.push(line);
      opening ??= open();
    },
    async close() {
      await (await opening)?.close();
    },
  };
}
