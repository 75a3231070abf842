/** A directory of this process's own, for a while. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../errno.ts";
import { UserError } from "../errors.ts";
import { resolveRealPath } from "../mountpoint.ts";
import { temporaryFolders } from "../settings/settings.ts";

/** Its mode is 0700, its place the first folder that takes it. Throws UserError("mountpoint"). */
export function createTemporaryDirectory(): string {
  const refused: string[] = [];
  for (const folder of temporaryFolders()) {
    try {
      return resolveRealPath(mkdtempSync(join(folder, "llmfs-")));
    } catch (error) {
      refused.push(messageOf(error));
    }
  }
  throw new UserError("mountpoint", `no temporary directory can be made (${refused.join("; ")}); set TMPDIR`);
}
