/**
 * Standard output for results, standard error for talk. A reader that has gone away is no failure.
 *
 * The only file that writes to either. Whatever is written may hold text from outside, so all of it is made printable
 * here; colours and the like are added afterwards.
 *
 * By descriptor: `process.stderr` would open a second one, and a background mount would hold the terminal for ever.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { UserError } from "../../app/errors.ts";
import type { TenthMark } from "../../app/progress.ts";
import { messageOf } from "../../errno.ts";
import { printable, printableLine } from "../../text/printable.ts";

/** Narrower terminals are rare, and would wrap. */
export const WIDTH = 79;

/** One line of talk. */
export function say(line: string, mark: TenthMark = { length: 0, color: 0 }): void {
  const head = line.slice(0, mark.length);
  const colored = head === "" ? "" : `\u001b[${mark.color}m${printable(head)}\u001b[39m`;
  writeAll(2, Buffer.from(`${colored}${printable(line.slice(mark.length))}\n`));
}

/** Puts `line`, cut to fit into one, where the cursor's line is. */
export function overwrite(line: string): void {
  writeAll(2, Buffer.from(`\r\u001b[K${printableLine(line).slice(0, WIDTH)}`));
}

/** Part of the result, for people. Throws UserError("save") when it can't be written. */
export function show(result: string): void {
  write(printable(result));
}

/** The same in bold. */
export function showBold(text: string): void {
  write(`\u001b[1m${printable(text)}\u001b[22m`);
}

/** The result for programs. */
export function showJson(value: unknown, indent = 2): void {
  write(`${printable(JSON.stringify(value, null, indent))}\n`);
}

/** Part of a result that has to be exact, unless it goes to a terminal, which might obey it. */
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

/** True where a person watches. */
export function isTerminal(fd: 1 | 2 = 2): boolean {
  return isatty(fd);
}

/** Writes everything, also to a pipe that is full for the moment and does not block. */
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
