/** Checks the command of `run` before a tree is laid out for it, which may cost money. */
import { accessSync, constants, type Stats, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import { UserError } from "../../app/errors.ts";
import { childEnvironment } from "../../app/settings/settings.ts";
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import { printableLine } from "../../text/printable.ts";

/**
 * Throws UserError "notFound" or "notExecutable", as a shell would end. A relative path is one in the tree, which is not
 * there yet.
 */
export function checkCommand([name = ""]: readonly string[], path = childEnvironment({}).PATH ?? ""): void {
  if (name === "") throw new UserError("notFound", "the command is empty; name a program behind --");
  if (!name.includes("/")) checkSearched(name, path);
  else if (isAbsolute(name)) checkFile(name);
}

function checkSearched(name: string, path: string): void {
  // A relative part of PATH is one in the tree.
  if (!path.split(":").every(isAbsolute)) return;
  if (Bun.which(name, { PATH: path }) !== null) return;
  const cure = /[\s|&;<>$]/.test(name)
    ? `for a line of shell, write: -- sh -c ${shellWord(name)}`
    : `for a program in the tree, write: -- ./${name}`;
  throw new UserError("notFound", `${printableLine(name)}: there is no such program in PATH; ${cure}`);
}

function checkFile(file: string): void {
  const stat = statOf(file);
  const shown = printableLine(file);
  if (stat === undefined) throw new UserError("notFound", `${shown}: there is no such program`);
  if (stat.isDirectory()) throw new UserError("notExecutable", `${shown} is a directory, not a program`);
  try {
    accessSync(file, constants.X_OK);
  } catch (cause) {
    throw new UserError("notExecutable", `${shown} is not executable; make it so with: chmod +x ${shellWord(file)}`, {
      cause,
    });
  }
}

function statOf(file: string): Stats | undefined {
  try {
    return statSync(file);
  } catch {
    return undefined;
  }
}
