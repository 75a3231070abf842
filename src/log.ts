/**
 * The log, which goes to standard error and to a file.
 *
 * Every line has a level and a tag, the folder of `src/` that it comes from. Secrets are redacted before a line is written,
 * and control characters are escaped, so that a terminal that shows the file does not interpret them. The file is opened
 * at the first line and rotated by size. If it cannot be written, there is one warning, and the mount continues.
 */
import { type ConsolaInstance, createConsola } from "consola/core";
import type { LogFile } from "./log-file.ts";
import { printable } from "./text/printable.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** consola's numbers for the levels. */
const RANK = { error: 0, warn: 1, info: 3, debug: 4 } as const;

export interface LogOptions {
  /** The minimum level for standard error. */
  readonly terminal: LogLevel;
  /** The minimum level for the file. */
  readonly file: LogLevel;
  /** An absolute path, or undefined for no file. */
  readonly path: string | undefined;
  /** Writes one line to standard error. With a mark, its first `length` characters are colored. */
  readonly print: (line: string, mark?: { readonly length: number; readonly color: number }) => void;
  readonly color: boolean;
  /** Whether each line of the file is an object of JSON. */
  readonly json?: boolean;
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
  withTag(tag: string): Logger;
  write(level: LogLevel, tag: string, text: string): void;
  /** Always shows a message to the user, without a level. In the file it has level "info". */
  notice(tag: string, text: string): void;
  /** Stops writing to standard error, because the terminal now belongs to another program. */
  detach(): void;
  /** Writes an object to the file, if its lines are objects. */
  event(value: object): void;
  /** Resolves when all lines are written to the file. */
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
          if (RANK[level] <= RANK[options.file])
            file?.write((options.json === true ? jsonLine : fileLine)(date, level, tag, text));
        },
      },
    ],
  });

  return {
    withTag: (tag) => {
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
      // At level "info", the log itself prints it to the terminal.
      if (attached && RANK[options.terminal] < RANK.info) options.print(redact(text));
      consola.withTag(tag).info(text);
    },
    detach: () => {
      attached = false;
    },
    event: (value) => {
      if (options.json === true) file?.write(redact(`${JSON.stringify({ level: "info", tag: "event", ...value })}\n`));
    },
    close: async () => file?.close(),
  };
}

function isLevel(type: string): type is LogLevel {
  return Object.hasOwn(RANK, type);
}

/** Redacts secrets, except very short ones, which would also match ordinary text. */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const long = secrets.filter((secret) => secret.length >= 6);
  return (text) => long.reduce((clean, secret) => clean.replaceAll(secret, "[redacted]"), text);
}

const COLOR = { error: 31, warn: 33, info: 39, debug: 90 } as const;

function terminalHead(level: LogLevel, tag: string): string {
  const word = level === "info" ? "" : `${level === "warn" ? "warning" : level}: `;
  return level === "debug" && tag !== "" ? `${word}${tag}: ` : word;
}

/** One entry per line, whatever characters the text contains. */
function fileLine(date: Date, level: LogLevel, tag: string, text: string): string {
  const body = printable(text.replaceAll("\\", "\\\\").replaceAll("\r", "\\r").replaceAll("\n", "\n    "));
  return `${date.toISOString()} ${process.pid} ${level} ${tag === "" ? "llmfs" : tag}: ${body}\n`;
}

function jsonLine(date: Date, level: LogLevel, tag: string, text: string): string {
  const line = { at: date.toISOString(), pid: process.pid, level, tag: tag === "" ? "llmfs" : tag, text };
  return `${JSON.stringify(line)}\n`;
}

/** Opens the file at the first line, and buffers lines until it is open. */
function lazyFile(path: string, warn: (text: string) => void): { write(line: string): void; close(): Promise<void> } {
  let opening: Promise<LogFile | undefined> | undefined;
  let waiting: string[] | undefined = [];
  let file: LogFile | undefined;

  async function open(): Promise<LogFile | undefined> {
    const { openLogFile } = await import("./log-file.ts");
    file = await openLogFile(path, (reason) =>
      warn(
        `cannot write the log file ${path} (${reason}); continuing without a log; use --log-file or XDG_STATE_HOME to choose another file`,
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
