/** Whether what is to be written can be, told before anything costs time or money. */
import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../errno.ts";
import type { Config } from "./config.ts";
import { CliError, UsageError } from "./exit.ts";
import { realPath } from "./mountpoint.ts";

/** Throws UsageError for a file inside the mount, CliError("save") for one that can't be written. */
export function checkOutputs(config: Config, mountpoint: string | undefined): void {
  for (const [flag, file] of [
    ["--save", config.save],
    ["--log-file", config.logFile],
  ] as const) {
    if (file === undefined || mountpoint === undefined) continue;
    if (realPath(file).startsWith(`${mountpoint}/`)) {
      throw new UsageError(`${flag} ${file} lies in the mount itself; choose a place outside`);
    }
  }
  if (config.save !== undefined) checkSave("--save", config.save);
}

/** Throws CliError("save") where `file` could not be written. */
export function checkSave(flag: string, file: string): void {
  const folder = dirname(file);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new CliError("save", `${flag} ${file}: the folder cannot be written: ${messageOf(error)}`, { cause: error });
  }
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new CliError("save", `${flag} ${file} is a directory; a file is needed`);
  }
}

/** What goes wrong while a snapshot is written is a failed save, whichever part of it failed. */
export async function asSaved(saving: Promise<void>): Promise<void> {
  try {
    await saving;
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError("save", `the tree could not be saved: ${messageOf(error)}`, { cause: error });
  }
}
