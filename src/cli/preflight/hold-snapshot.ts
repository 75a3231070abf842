/** Makes sure that a command that changes a snapshot loses no change of another command, or of a mount. */
import { basename } from "node:path";
import { UserError } from "../../app/errors.ts";
import { resolveRealPath } from "../../app/mountpoint.ts";
import { listServers } from "../../app/running/server-process.ts";
import { reasonOf } from "../../errno.ts";
import { holdFile } from "../../snapshot/write/hold.ts";
import { say } from "../output/terminal.ts";

/**
 * `file`: an absolute path, which need not exist. Hold it before reading it, until it is replaced. Rejects with UserError if
 * it cannot be written, and if a mount will replace it.
 */
export async function holdSnapshot(file: string): Promise<AsyncDisposable> {
  refuseSavedByMount(file);
  try {
    return await holdFile(file, () => say(`waiting for another llmfs that changes ${file}`));
  } catch (error) {
    throw new UserError("save", `the tree could not be saved: ${file} cannot be written: ${reasonOf(error, file)}`, {
      cause: error,
    });
  }
}

/** Throws UserError("save") if a mount will save its tree to the file. */
export function refuseSavedByMount(file: string): void {
  const real = resolveRealPath(file);
  // A folder on the way to another name may be a mount that does not answer.
  const isSame = (save: string) =>
    save === real || (basename(save) === basename(real) && resolveRealPath(save) === real);
  const servers = listServers();
  try {
    const records = servers.map(({ record }) => record);
    const found = records.find(
      (record) => record?.save !== undefined && record.state !== "done" && isSame(record.save),
    );
    if (found === undefined) return;
    throw new UserError(
      "save",
      `${file}: the mount at ${found.mountpoint} saves its tree there, and would undo the change; change the mount instead`,
    );
  } finally {
    for (const server of servers) server[Symbol.dispose]();
  }
}
