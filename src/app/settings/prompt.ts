/**
 * `--prompt TEXT|FILE`: which of the two it is.
 *
 * - `-` is standard input, `@NAME` is the file NAME, always.
 * - The name of an existing file is that file.
 * - What looks like the name of a file and is none is an error, not a very short prompt: no white space in it, and a
 *   slash or the ending of a text file.
 * - Everything else is the text.
 */
import { statSync } from "node:fs";
import { isAbsolute } from "node:path";
import { codeOf, messageOf } from "../../errno.ts";
import { readBounded, TooLongError } from "../../text/bounded-read.ts";
import { UserError } from "../errors.ts";
import { absolutePath, currentDirectory } from "../machine/current-directory.ts";

export interface Prompt {
  readonly text: string;
  /** Where it comes from, for messages: "--prompt", "the file notes.md". */
  readonly origin: string;
  /** The name of the file, where it is one. */
  readonly file?: string;
}

/** In UTF-16 units, of which none has more than three bytes. */
const LONGEST = 1 << 20;
const LONGEST_BYTES = 3 * LONGEST;

/** `source` is the flag or variable the value was given with. Throws UserError("input"). */
export function readPrompt(source: string, value: string): Prompt {
  if (value === "-") return readPromptFile(source, 0, "standard input");
  if (value.startsWith("@") && value.length > 1)
    return readPromptFile(source, absolutePath(value.slice(1)), value.slice(1));
  const kind = kindOf(value);
  if (kind === "file") return readPromptFile(source, absolutePath(value), value);
  if (looksLikePath(value)) {
    absolutePath(value);
    const problem = kind === "directory" ? "is a directory" : "does not exist";
    throw new UserError(
      "input",
      `${source} ${value}: that looks like a file and ${problem}; to use it as text, add a word`,
    );
  }
  return checkLength(source, source, value);
}

function kindOf(value: string): "file" | "directory" | "none" {
  if (!isAbsolute(value) && currentDirectory() === undefined) return "none";
  try {
    return statSync(value).isDirectory() ? "directory" : "file";
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG" || code === "EINVAL") return "none";
    // In a current directory that cannot be searched or is a dead mount, every bare name fails like this: text stays text.
    if (!value.includes("/") && !looksLikePath(value)) return "none";
    // EACCES and the like: something is there, and reading it will say why it can't be read.
    return "file";
  }
}

function looksLikePath(value: string): boolean {
  return !/\s/.test(value) && (value.includes("/") || /\.(md|markdown|txt|text|prompt)$/i.test(value));
}

function readPromptFile(source: string, path: string | 0, name: string): Prompt {
  let bytes: Uint8Array;
  try {
    bytes = readBounded(path, LONGEST_BYTES);
  } catch (error) {
    if (error instanceof TooLongError) throw createTooLongError(`${source}: ${name}`);
    throw new UserError("input", `${source}: ${name} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return path === 0
      ? checkLength(source, name, text)
      : { ...checkLength(source, `the file ${name}`, text), file: name };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("input", `${source}: ${name} is not UTF-8 text`, { cause: error });
  }
}

function checkLength(source: string, origin: string, text: string): Prompt {
  const where = origin === source ? source : `${source}: ${origin}`;
  if (text.trim() === "")
    throw new UserError("input", `${where} is empty; say what the tree should hold, or leave it out`);
  if (text.length > LONGEST) throw createTooLongError(where);
  if (text.includes("\0")) throw new UserError("input", `${where} holds a NUL character; that is not text`);
  return { text, origin };
}

function createTooLongError(where: string): UserError {
  return new UserError("input", `${where} is longer than ${LONGEST} characters; shorten it`);
}
