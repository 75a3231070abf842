/** What the guardian of a mount writes to the mount's log when the process that served it ended without unmounting. */
import { statSync } from "node:fs";
import type { Crash, CrashNotes } from "../../fuse/mounting/guardian.ts";
import { createLog } from "../../log.ts";
import type { Config } from "../settings/settings.ts";

/** Undefined for a mount without a log file, where nothing could be reported. */
export function crashNotesOf({ logFile, logFormat, save, mode }: Config): CrashNotes | undefined {
  if (logFile === undefined) return undefined;
  return { logFile, json: logFormat === "json", records: mode !== "off", ...(save !== undefined && { save }) };
}

export async function reportCrash(crash: Crash): Promise<void> {
  const { logFile: path, json } = crash;
  const log = createLog({ terminal: "error", file: "info", path, json, print: () => {}, color: false, secrets: [] });
  log.write("error", "fuse", describeCrash(crash));
  await log.close();
}

export function describeCrash(crash: Crash): string {
  const { mountpoint, pid, failure } = crash;
  const removed =
    failure === undefined
      ? `${mountpoint} was unmounted`
      : `${mountpoint} could not be unmounted: ${failure}; try: llmfs unmount ${mountpoint}`;
  return `llmfs (process ${pid}), which served ${mountpoint}, ${describeEnd(crash)}. ${removed}. ${describeLoss(crash)}`;
}

function describeEnd({ exitStatus }: Crash): string {
  if (exitStatus === undefined) return "ended without unmounting; by which signal is not known";
  const signal = exitStatus & 0x7f;
  if (signal === 0) return `ended with status ${(exitStatus >> 8) & 0xff} without unmounting`;
  // Loaded when it is needed, because every mount loads this file.
  const { constants } = process.getBuiltinModule("node:os");
  const [name = `signal ${signal}`] = Object.entries(constants.signals).find(([, number]) => number === signal) ?? [];
  return `was killed by ${name}${name === "SIGKILL" ? ", which the kernel also sends when memory runs out" : ""}`;
}

function describeLoss({ save, records }: Crash): string {
  const kept = records ? "; the model's answers are in the recordings" : "";
  if (save === undefined) return `What was written in the mount is lost, because it had no --save${kept}`;
  const saved = statSync(save, { throwIfNoEntry: false });
  if (saved === undefined) return `What was written in the mount is lost, because ${save} had not been written${kept}`;
  return `What was written in the mount after ${saved.mtime.toISOString()} is lost: ${save} was last written then${kept}`;
}
