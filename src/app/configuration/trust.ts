/**
 * Which configurations llmfs uses without being told to on the command line.
 *
 * A configuration can run programs, and send files and secrets to servers, and one that is found in a directory may be
 * part of a download. So it is used only if the user has trusted this path with this content, has trusted a directory
 * above it through LLMFS_TRUST, or named the file with --config. Files that a configuration imports are not part of its
 * content.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { codeOf, messageOf } from "../../errno.ts";
import { readRegular } from "../../text/bounded-read.ts";
import { UserError } from "../errors.ts";
import { configFolder, readTrustedPaths, stateFolder } from "../settings/settings.ts";

/** A longer configuration has certainly not been read by a person. */
const LONGEST = 4 << 20;

/** A configuration file as it is now. */
export interface Configuration {
  readonly file: string;
  readonly content: Buffer;
}

/** Throws UserError if the file cannot be read, or is not a regular one. */
export async function readConfiguration(file: string): Promise<Configuration> {
  try {
    return { file, content: await readRegular(file, LONGEST) };
  } catch (error) {
    throw new UserError("input", `${file}: ${messageOf(error)}`, { cause: error });
  }
}

export function isTrusted(configuration: Configuration): boolean {
  const { file } = configuration;
  if (dirname(file) === configFolder()) return true;
  if (readTrustedPaths().some((path) => file === path || file.startsWith(path.endsWith("/") ? path : `${path}/`)))
    return true;
  try {
    return readFileSync(markOf(configuration), "utf8") === `${file}\n`;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** Remembers that the user trusts the file with this content. */
export function trust(configuration: Configuration): void {
  // An earlier content may have lost the user's trust for a reason.
  forgetTrust(configuration.file);
  mkdirSync(marksFolder(), { recursive: true, mode: 0o700 });
  writeFileSync(markOf(configuration), `${configuration.file}\n`, { mode: 0o600 });
}

/** Forgets every content of the file that was trusted. Returns whether there was any. */
export function forgetTrust(file: string): boolean {
  const marks = listMarks().filter((mark) => mark.file === file);
  for (const { path } of marks) rmSync(path, { force: true });
  return marks.length > 0;
}

/** The configurations that the user trusts. They may have changed or been removed. */
export function listTrusted(): readonly string[] {
  return [...new Set(listMarks().map(({ file }) => file))].sort();
}

function listMarks(): readonly { readonly path: string; readonly file: string }[] {
  let names: readonly string[];
  try {
    names = readdirSync(marksFolder());
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
  return names.flatMap((name) => {
    const path = join(marksFolder(), name);
    try {
      return [{ path, file: readFileSync(path, "utf8").slice(0, -1) }];
    } catch {
      return [];
    }
  });
}

function marksFolder(): string {
  return join(stateFolder(), "trusted");
}

/** One small file for each, because several commands may add some at the same time. */
function markOf({ file, content }: Configuration): string {
  const hash = new Bun.CryptoHasher("sha256").update(`${file}\0`).update(content).digest("hex");
  return join(marksFolder(), hash);
}
