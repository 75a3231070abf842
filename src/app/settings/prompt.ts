/**
 * Decides whether `--prompt TEXT|FILE` is a text or a file. In a configuration file, names start from its directory.
 *
 * - `-` is always standard input, and `@NAME` is always the file NAME.
 * - The name of an existing file is that file.
 * - A value that looks like a file name but does not exist is an error, not a very short prompt. It looks like a file name
 *   if it has no white space, and has a slash or the extension of a text file.
 * - Anything else is the text.
 */
import { statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { codeOf, reasonOf } from "../../errno.ts";
import { readBounded, TooLongError } from "../../text/bounded-read.ts";
import { UserError } from "../errors.ts";
import { absolutePath, currentDirectory } from "../machine/current-directory.ts";

export interface Prompt {
  readonly text: string;
  /** The origin for messages: "--prompt" or "the file notes.md". */
  readonly origin: string;
  /** The name of the file, if it comes from one. */
  readonly file?: string;
}

/** In UTF-16 code units, each at most three bytes in UTF-8. */
const LONGEST = 1 << 20;
const LONGEST_BYTES = 3 * LONGEST;

/**
 * `source` is the flag, variable or key that has the value; `folder` is set for a key in a configuration file. Throws
 * UserError("input").
 */
export function readPrompt(source: string, value: string, folder?: string): Prompt {
  if (value === "-") {
    if (folder === undefined) return readPromptFile(source, 0, "standard input");
    throw new UserError("input", `${source} -: only a flag can stand for standard input; name a file`);
  }
  if (value.startsWith("@") && value.length > 1)
    return readPromptFile(source, absolutePath(value.slice(1), folder), value.slice(1));
  const kind = kindOf(value, folder);
  if (kind === "file") return readPromptFile(source, absolutePath(value, folder), value);
  if (looksLikePath(value)) {
    absolutePath(value, folder);
    const problem = kind === "directory" ? "is a directory" : "does not exist";
    const cure = folder === undefined ? `pass it on standard input (${source} -)` : "add a word";
    throw new UserError(
      "input",
      `${source} ${value}: looks like a file name, but ${problem}; to use it as text, ${cure}`,
    );
  }
  return checkLength(source, source, value);
}

function kindOf(value: string, folder: string | undefined): "file" | "directory" | "none" {
  if (folder === undefined && !isAbsolute(value) && currentDirectory() === undefined) return "none";
  try {
    const path = folder === undefined || isAbsolute(value) ? value : join(folder, value);
    return statSync(path).isDirectory() ? "directory" : "file";
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG" || code === "EINVAL") return "none";
    // If the current directory is not searchable or is a dead mount, every plain word fails like this, but is still text.
    if (!value.includes("/") && !looksLikePath(value)) return "none";
    // With EACCES and similar errors there is a file, and reading it will report the reason.
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
    throw new UserError("input", `${source}: ${name} cannot be read: ${reasonOf(error, name)}`, { cause: error });
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
  if (text.trim() === "") throw new UserError("input", `${where} is empty; describe the tree, or omit it`);
  if (text.length > LONGEST) throw createTooLongError(where);
  if (text.includes("\0")) throw new UserError("input", `${where} is not text: it contains a NUL character`);
  return { text, origin };
}

function createTooLongError(where: string): UserError {
  return new UserError("input", `${where} is longer than ${LONGEST} characters; shorten it`);
}
