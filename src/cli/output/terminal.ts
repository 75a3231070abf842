/**
 * Writes results to standard output and messages to standard error. A closed pipe is not a failure.
 *
 * No other file writes to either, or reads what is typed at the terminal. Text may come from outside, so all of it is made printable here. Colors are added
 * afterwards.
 *
 * Writes go to the file descriptors: `process.stderr` would open a second one, and a background mount would then keep the
 * terminal open.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { UserError } from "../../app/errors.ts";
import type { ColoredStart } from "../../app/progress.ts";
import { messageOf } from "../../errno.ts";
import * as libc from "../../libc.ts";
import { printable, printableLine } from "../../text/printable.ts";
import { cutLine } from "./table.ts";

/** Lines wrap on narrower terminals, which are rare. */
export const WIDTH = 79;

/** Prints one message line to standard error. */
export function say(line: string, mark: ColoredStart = { length: 0, color: 0 }): void {
  const head = line.slice(0, mark.length);
  const colored = head === "" ? "" : `\u001b[${mark.color}m${printable(head)}\u001b[39m`;
  writeAll(2, Buffer.from(`${colored}${printable(line.slice(mark.length))}\n`));
}

/** Replaces the cursor's line by `line`, cut to the width of a terminal. */
export function overwrite(line: string): void {
  writeAll(2, Buffer.from(`\r\u001b[K${printableLine(line).slice(0, WIDTH)}`));
}

/** Prints a part of the result, for people. Throws UserError("save") if it cannot be written. */
export function show(result: string): void {
  write(printable(result));
}

/** Like `show`, in bold. */
export function showBold(text: string): void {
  write(`\u001b[1m${printable(text)}\u001b[22m`);
}

/** Prints a line of the result, of which some parts may be colored. */
export function showPieces(
  pieces: readonly { readonly text: string; readonly color: string }[],
  colored: boolean,
): void {
  const line = pieces.map(({ text, color }) => {
    const shown = printableLine(text);
    return colored && color !== "" ? `\u001b[${color}m${shown}\u001b[0m` : shown;
  });
  write(`${line.join("")}\n`);
}

/** Prints a line of a file's content in a color, unchanged as in `showExactly`. Color "": none. */
export function showContentLine(text: string, color: string): void {
  const shown = isTerminal(1) ? printable(text) : text;
  write(color === "" ? `${shown}\n` : `\u001b[${color}m${shown}\u001b[0m\n`);
}

/** Prints the result for programs. */
export function showJson(value: unknown, indent = 2): void {
  write(`${printable(formatJson(value, indent))}\n`);
}

/** Sums such as 0.1 + 0.2 are written without the error of binary fractions, as 0.3. */
export function formatJson(value: unknown, indent = 2): string {
  const round = (_: string, member: unknown) =>
    typeof member === "number" && !Number.isInteger(member) ? Number(member.toPrecision(12)) : member;
  return JSON.stringify(value, round, indent);
}

/** Prints a part of the result unchanged, except to a terminal, which might interpret control characters. */
export function showExactly(bytes: Uint8Array): void {
  write(isTerminal(1) ? printable(new TextDecoder().decode(bytes)) : bytes);
}

/** Passes the output of a program on, made printable on a terminal. A descriptor that cannot be written to is ignored. */
export function passOn(bytes: Uint8Array, fd: 1 | 2): void {
  try {
    writeAll(fd, isTerminal(fd) ? Buffer.from(printable(new TextDecoder().decode(bytes))) : bytes);
  } catch {
    // The program's own exit status is what counts.
  }
}

/** Prints bytes that are not text. */
export function showBytes(bytes: Uint8Array): void {
  write(bytes);
}

function write(result: string | Uint8Array): void {
  try {
    writeAll(1, Buffer.from(result));
  } catch (error) {
    throw new UserError("save", `standard output: ${messageOf(error)}`, { cause: error });
  }
}

/** Reads a line from the terminal; "" at the end of input. Later input is left for the programs that are started then. */
export function readLine(): string {
  const terminal = openSync("/dev/tty", "r");
  try {
    const bytes: number[] = [];
    const one = Buffer.alloc(1);
    while (readSync(terminal, one, 0, 1, null) === 1 && one[0] !== NEWLINE) bytes.push(one[0] ?? 0);
    return Buffer.from(bytes).toString("utf8");
  } finally {
    closeSync(terminal);
  }
}

const NEWLINE = 0x0a;

/** A block of lines on a terminal that is drawn over the previous one. Disposed, the last one stays. */
export class Screen implements Disposable {
  #drawn = 0;

  constructor() {
    hideCursor();
    process.on("SIGTSTP", this.#stop);
    process.on("SIGCONT", this.#continue);
  }

  /** Ctrl-Z: the shell needs the cursor. */
  #stop = (): void => {
    showCursor();
    process.kill(process.pid, "SIGSTOP");
  };

  /** What the shell has printed stays above. */
  #continue = (): void => {
    hideCursor();
    this.#drawn = 0;
  };

  /** Lines are cut to the width of the terminal, and their number to its height. */
  draw(lines: readonly string[]): void {
    const { columns, rows } = sizeOfTerminal();
    const fitting =
      lines.length < rows ? lines : [...lines.slice(0, rows - 2), `… ${lines.length - rows + 2} more lines`];
    const up = this.#drawn === 0 ? "" : `\u001b[${this.#drawn}A`;
    const text = fitting.map((line) => `\u001b[K${cutLine(printableLine(line), columns)}\n`).join("");
    writeAll(1, Buffer.from(`${up}\r${text}\u001b[J`));
    this.#drawn = fitting.length;
  }

  [Symbol.dispose](): void {
    process.off("SIGTSTP", this.#stop);
    process.off("SIGCONT", this.#continue);
    showCursor();
  }
}

function hideCursor(): void {
  writeAll(1, Buffer.from("\u001b[?25l"));
}

function showCursor(): void {
  writeAll(1, Buffer.from("\u001b[?25h"));
}

function sizeOfTerminal(): { readonly columns: number; readonly rows: number } {
  const [columns, rows] = new (tty().WriteStream)(1).getWindowSize();
  return { columns: columns > 0 ? columns : WIDTH, rows: rows > 2 ? rows : 24 };
}

/** The columns of a terminal. Undefined for anything else, or if the terminal does not say. */
export function columnsOf(fd: 1 | 2): number | undefined {
  if (!isTerminal(fd)) return undefined;
  const [columns] = new (tty().WriteStream)(fd).getWindowSize();
  return columns > 0 ? columns : undefined;
}

/** Whether the descriptor is a terminal. */
export function isTerminal(fd: 0 | 1 | 2 = 2): boolean {
  try {
    if (process.platform === "linux") return libc.isTerminal(fd);
  } catch {
    // The system calls of libc.ts need memory that not every process may have.
  }
  return tty().isatty(fd);
}

/** Loaded when it is needed, because it takes as long to load as the rest of a command. */
function tty(): typeof import("node:tty") {
  return process.getBuiltinModule("node:tty");
}

/** Whether the reader of standard output has gone, as with `| head`. A command that never ends by itself ends then. */
export function isOutputClosed(): boolean {
  return outputClosed;
}

let outputClosed = false;

/** The same, without having written anything: whether nobody can read what would be written now. */
export function isOutputUnread(): boolean {
  try {
    // A struct pollfd. No event is asked for, so that only an error or a hang-up counts.
    return outputClosed || libc.poll(libc.address(new Int32Array([1, 0])), 1, 0) > 0;
  } catch {
    return false;
  }
}

/** Writes all bytes, even to a non-blocking pipe that is temporarily full. */
function writeAll(fd: 1 | 2, bytes: Uint8Array): void {
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "";
      if (code === "EAGAIN") Bun.sleepSync(5);
      else if (code === "EPIPE" || fd === 2) {
        outputClosed ||= fd === 1;
        return;
      } else throw error;
    }
  }
}
