/** Whether what is to be written can be, told before anything costs time or money. */
import { accessSync, constants } from "node:fs";
import { dirname } from "node:path";
import { UsageError, UserError } from "../../app/errors.ts";
import { resolveRealPath } from "../../app/mountpoint.ts";
import type { Config } from "../../app/settings/settings.ts";
import { messageOf } from "../../errno.ts";
import { type Destination, RefusedDestination, resolveDestination } from "../../snapshot/write/destination.ts";

/** Throws UsageError for a file inside the mount, UserError("save") for one that can't be written. */
export async function checkOutputs(config: Config, mountpoint: string | undefined): Promise<void> {
  for (const [flag, file] of [
    ["--save", config.save],
    ["--log-file", config.logFile],
  ] as const) {
    if (file === undefined || mountpoint === undefined) continue;
    if (resolveRealPath(file).startsWith(`${mountpoint}/`)) {
      throw new UsageError(`${flag} ${file} lies in the mount itself; choose a place outside`);
    }
  }
  if (config.save !== undefined) await checkSave("--save", config.save);
}

/** Rejects with UserError("save") where `file` could not be written. */
export async function checkSave(flag: string, file: string): Promise<void> {
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

/** What goes wrong while a snapshot is written is a failed save, whichever part of it failed. */
export async function wrapSaveErrors(saving: Promise<void>): Promise<void> {
  try {
    await saving;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("save", `the tree could not be saved: ${messageOf(error)}`, { cause: error });
  }
}
