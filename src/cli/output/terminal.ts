/**
 * Writes results to standard output and messages to standard error. A closed pipe is not a failure.
 *
 * No other file writes to either. Text may come from outside, so all of it is made printable here. Colors are added
 * afterwards.
 *
 * Writes go to the file descriptors: `process.stderr` would open a second one, and a background mount would then keep the
 * terminal open.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { UserError } from "../../app/errors.ts";
import type { ColoredStart } from "../../app/progress.ts";
import { messageOf } from "../../errno.ts";
import { printable, printableLine } from "../../text/printable.ts";

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

/** Prints the result for programs. */
export function showJson(value: unknown, indent = 2): void {
  write(`${printable(JSON.stringify(value, null, indent))}\n`);
}

/** Prints a part of the result unchanged, except to a terminal, which might interpret control characters. */
export function showExactly(bytes: Uint8Array): void {
  write(isTerminal(1) ? printable(new TextDecoder().decode(bytes)) : bytes);
}

function write(result: string | Uint8Array): void {
  try {
    writeAll(1, Buffer.from(result));
  } catch (error) {
    throw new UserError("save", `standard output: ${messageOf(error)}`, { cause: error });
  }
}

/** Whether the descriptor is a terminal. */
export function isTerminal(fd: 1 | 2 = 2): boolean {
  return isatty(fd);
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
      else if (code === "EPIPE" || fd === 2) return;
      else throw error;
    }
  }
}
