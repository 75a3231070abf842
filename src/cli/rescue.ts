/**
 * A tree that could not be saved where it should, because the disk is full or the folder gone, is not lost: it is saved
 * in the state folder instead, under the process that served it, so that `unmount` finds out and can say so.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../errno.ts";
import type { MountedFilesystem } from "../fs/filesystem.ts";
import { stateFolder } from "./config.ts";
import { CliError } from "./exit.ts";

/** Where the tree of a process is saved for want of a better place. */
export function rescueOf(pid: number): string {
  return join(stateFolder(), `unsaved-${pid}.json`);
}

/** Throws CliError("save") where the tree is not in `file`; the message says where it is. */
export async function saveOrRescue(filesystem: MountedFilesystem, file: string): Promise<void> {
  try {
    await filesystem.save(file);
  } catch (error) {
    const failed = `the tree could not be saved to ${file}: ${messageOf(error)}`;
    const rescue = rescueOf(process.pid);
    try {
      await mkdir(dirname(rescue), { recursive: true, mode: 0o700 });
      await filesystem.save(rescue);
    } catch (second) {
      throw new CliError("save", `${failed}; nor to ${rescue}: ${messageOf(second)}`, { cause: error });
    }
    throw new CliError("save", `${failed}; it is in ${rescue} instead`, { cause: error });
  }
}

/** Throws CliError("save") where the tree of a process that has ended is not where it should be. */
export function refuseUnsaved(pid: number, directory: string): void {
  const rescue = rescueOf(pid);
  if (!existsSync(rescue)) return;
  throw new CliError("save", `${directory}: the tree could not be saved where --save said; it is in ${rescue} instead`);
}
