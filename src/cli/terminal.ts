/**
 * Standard output for results, standard error for talk. A reader that has gone away is no failure.
 *
 * By descriptor: `process.stderr` would open a second one, and a background mount would hold the terminal for ever.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { messageOf } from "../errno.ts";
import { CliError } from "./exit.ts";

/** Narrower terminals are rare, and would wrap. */
export const WIDTH = 79;

/** One line of talk. */
export function say(line: string): void {
  writeAll(2, Buffer.from(`${line}\n`));
}

/** Puts `line`, cut to fit into one, where the cursor's line is. */
export function overwrite(line: string): void {
  writeAll(2, Buffer.from(`\r\u001b[K${line.slice(0, WIDTH)}`));
}

/** Part of the result. Throws CliError("save") when it can't be written. */
export function show(result: string | Uint8Array): void {
  try {
    writeAll(1, Buffer.from(result));
  } catch (error) {
    throw new CliError("save", `standard output: ${messageOf(error)}`, { cause: error });
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
