/** A temporary directory for this process. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../errno.ts";
import { UserError } from "../errors.ts";
import { resolveRealPath } from "../mountpoint.ts";
import { temporaryFolders } from "../settings/settings.ts";

/** Creates it with mode 0700, in the first folder where that is possible. Throws UserError("mountpoint"). */
export function createTemporaryDirectory(): string {
  const refused: string[] = [];
  for (const folder of temporaryFolders()) {
    try {
      return resolveRealPath(mkdtempSync(join(folder, "llmfs-")));
    } catch (error) {
      refused.push(messageOf(error));
    }
  }
  throw new UserError("mountpoint", `cannot create a temporary directory (${refused.join("; ")}); set TMPDIR`);
}
