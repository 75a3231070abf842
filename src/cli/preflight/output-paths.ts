/** Checks that output files can be written, before anything costs time or money. */
import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";
import { UsageError, UserError } from "../../app/errors.ts";
import { resolveRealPath } from "../../app/mountpoint.ts";
import type { Config } from "../../app/settings/settings.ts";
import { messageOf } from "../../errno.ts";
import type { Destination } from "../../snapshot/write/destination.ts";

/** Throws UsageError for a file inside the mount, and UserError("save") for a file that cannot be written. */
export async function checkOutputs(config: Config, mountpoint: string | undefined): Promise<void> {
  for (const [flag, file] of [
    ["--save", config.save],
    ["--log-file", config.logFile],
    ["--audit", config.audit],
  ] as const) {
    if (file === undefined || mountpoint === undefined) continue;
    if (resolveRealPath(file).startsWith(`${mountpoint}/`)) {
      throw new UsageError(`${flag} ${file} is inside the mount; choose a path outside it`);
    }
  }
  if (config.save !== undefined) await checkSave("--save", config.save);
}

/** Rejects with UserError("save") if `file` cannot be written. */
export async function checkSave(flag: string, file: string): Promise<void> {
  const { RefusedDestination, resolveDestination } = await import("../../snapshot/write/destination.ts");
  let place: Destination;
  try {
    place = await resolveDestination(file);
  } catch (error) {
    const refused = error instanceof RefusedDestination;
    const reason = refused ? ` ${error.message}` : `: the folder cannot be written: ${messageOf(error)}`;
    throw new UserError("save", `${flag} ${file}${reason}`, { cause: error });
  }
  if (place.kind !== "new" && place.kind !== "replace") return;
  try {
    accessSync(dirname(place.path), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UserError("save", `${flag} ${file}: the folder cannot be written: ${messageOf(error)}`, { cause: error });
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
