/**
 * Which configurations llmfs uses without being told to on the command line.
 *
 * A configuration can run programs, and send files and secrets to servers, and one that is found in a directory may be
 * part of a download. So it is used only if the user has trusted this path with this content, has trusted a directory
 * above it through LLMFS_TRUST, or named the file with --config. Files that a configuration imports are not part of its
 * content.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { codeOf, messageOf, reasonOf } from "../../errno.ts";
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
    throw new UserError("input", `${file}: ${reasonOf(error, file)}`, { cause: error });
  }
}

/** Whether the file is trusted with any content, because of where it is. */
export function isTrustedPath(file: string): boolean {
  if (dirname(file) === configFolder()) return true;
  return readTrustedPaths().some((path) => file === path || file.startsWith(path.endsWith("/") ? path : `${path}/`));
}

/** Whether the user has trusted the file with this content. Throws UserError if the list of those files cannot be relied on. */
export function isTrusted(configuration: Configuration): boolean {
  const mark = markOf(configuration);
  try {
    if (readFileSync(mark, "utf8") !== `${configuration.file}\n`) return false;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw explainMarks("read", error);
  }
  for (const path of [marksFolder(), mark]) requireOwn(path);
  return true;
}

/** Other users must not be able to choose what runs here. */
function requireOwn(path: string): void {
  const { uid, mode } = statSync(path);
  const user = process.geteuid?.() ?? 0;
  // Whom root trusts is up to root, also in the home directory of another user (sudo).
  const foreign = uid !== user && uid !== 0 && user !== 0;
  if (!foreign && (mode & 0o002) === 0) return;
  const why = foreign ? `it belongs to user ${uid}` : "every user can write to it";
  throw new UserError("input", `${path} is not used, because ${why}; remove it, and run "llmfs trust" again`);
}

function explainMarks(action: "read" | "write", cause: unknown): UserError {
  const why = `cannot ${action} the list of trusted configurations: ${messageOf(cause)}`;
  return new UserError("input", `${why}; to use a configuration in any case, name it with --config`, { cause });
}

/** Remembers that the user trusts the file with this content. Throws UserError. */
export function trust(configuration: Configuration): void {
  // An earlier content may have lost the user's trust for a reason.
  forgetTrust(configuration.file);
  try {
    mkdirSync(marksFolder(), { recursive: true, mode: 0o700 });
    writeFileSync(markOf(configuration), `${configuration.file}\n`, { mode: 0o600 });
  } catch (error) {
    throw explainMarks("write", error);
  }
  requireOwn(marksFolder());
}

/** Forgets every content of the file that was trusted. Returns whether there was any. Throws UserError. */
export function forgetTrust(file: string): boolean {
  const marks = listMarks().filter((mark) => mark.file === file);
  try {
    for (const { path } of marks) rmSync(path, { force: true });
  } catch (error) {
    throw explainMarks("write", error);
  }
  return marks.length > 0;
}

/** Whether the user has ever trusted the file, whatever it contained. Throws UserError. */
export function wasTrusted(file: string): boolean {
  return listMarks().some((mark) => mark.file === file);
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
    throw explainMarks("read", error);
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
