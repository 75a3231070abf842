/** Whether what is to be written can be, told before anything costs time or money. */
import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Config } from "./config.ts";
import { CliError, messageOf, UsageError } from "./exit.ts";
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
  if (config.save !== undefined) checkSave(config.save);
}

function checkSave(file: string): void {
  const folder = dirname(file);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new CliError("save", `--save ${file}: the folder cannot be written: ${messageOf(error)}`, { cause: error });
  }
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new CliError("save", `--save ${file} is a directory; a file is needed`);
  }
}
