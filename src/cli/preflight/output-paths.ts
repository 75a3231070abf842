/** Checks that output files can be written, before anything costs time or money. */
import { accessSync, constants, lstatSync } from "node:fs";
import { dirname } from "node:path";
import { withLines } from "../../app/configuration/configure.ts";
import { createValueError, UserError } from "../../app/errors.ts";
import { absolutePath } from "../../app/machine/current-directory.ts";
import { resolveRealPath } from "../../app/mountpoint.ts";
import { requireAuditable } from "../../app/running/audit.ts";
import type { Config, FileSetting } from "../../app/settings/settings.ts";
import { kebabCase } from "../../app/settings/table.ts";
import { messageOf, reasonOf } from "../../errno.ts";
import type { Destination } from "../../snapshot/write/destination.ts";
import { say } from "../output/terminal.ts";

/** Rejects with a usage error for a file inside the mount, and with UserError for a file that cannot be written. */
export async function checkOutputs(config: Config, mountpoint: string | undefined): Promise<void> {
  for (const name of ["save", "logFile", "audit"] as const) {
    await checkFile(config, name, (source, file) => {
      if (mountpoint === undefined || !resolveRealPath(file).startsWith(`${mountpoint}/`)) return;
      throw createValueError(source, `${source} ${file} is inside the mount; choose a path outside it`);
    });
  }
  await checkFile(config, "save", checkSave);
  await checkFile(config, "audit", (source, file) => requireAuditable(source, file, config.auditRequired));
}

/** `check` is called with what names the file: a flag, or a key in a configuration file, to which errors add its line. */
export async function checkFile(
  config: Config,
  name: FileSetting,
  check: (source: string, file: string) => void | Promise<void>,
): Promise<void> {
  const { [name]: file } = config;
  const origin = config.origins?.[name];
  if (file === undefined) return;
  await withLines(origin === undefined ? [] : [origin], () => check(origin?.label ?? `--${kebabCase(name)}`, file));
}

/** Rejects with UserError("save") if `file` cannot be written. `flag`: what names it. */
export async function checkSave(flag: string, file: string): Promise<void> {
  const { RefusedDestination, resolveDestination } = await import("../../snapshot/write/destination.ts");
  let place: Destination;
  try {
    place = await resolveDestination(file);
  } catch (error) {
    const refused = error instanceof RefusedDestination;
    const reason = refused ? ` ${error.message}` : `: the folder cannot be written: ${reasonOf(error, dirname(file))}`;
    throw new UserError("save", `${flag} ${file}${reason}`, { cause: error });
  }
  if (place.kind !== "new" && place.kind !== "replace") return;
  try {
    accessSync(dirname(place.path), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UserError(
      "save",
      `${flag} ${file}: the folder cannot be written: ${reasonOf(error, dirname(place.path))}`,
      { cause: error },
    );
  }
}

/** Reports every failure while a snapshot is written as a failed save. */
export async function wrapSaveErrors(saving: Promise<void>): Promise<void> {
  try {
    await saving;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("save", `the tree could not be saved: ${messageOf(error)}`, { cause: error });
  }
}

/** Writes a snapshot to the file of --output. A message says if another file than `own` was replaced. */
export async function writeSnapshotFile(named: string, pieces: AsyncIterable<Uint8Array>, own?: string): Promise<void> {
  const file = absolutePath(named);
  const isOwn = own !== undefined && resolveRealPath(own) === resolveRealPath(named);
  const replaced = !isOwn && lstatSync(file, { throwIfNoEntry: false })?.isFile() === true;
  const { writeAtomically } = await import("../../snapshot/write/write.ts");
  await wrapSaveErrors(writeAtomically(file, pieces));
  if (replaced) say(`replaced ${named}`);
}
