/** The entry point: runs a command line, or one of the roles in which llmfs starts itself. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import { leaveRemovedDirectory } from "./app/machine/current-directory.ts";
import { readChosenHelper } from "./app/settings/companions.ts";
import { keepLoopbackDirect } from "./app/settings/proxies.ts";
import { chooseHelper } from "./fuse/mounting/chosen-helper.ts";
import { ROLE } from "./self.ts";

leaveRemovedDirectory();
keepLoopbackDirect();
chooseHelper(readChosenHelper());
if (process.pid === 1) {
  const { actAsInit } = await import("./cli/process/init.ts");
  actAsInit(process.exit);
}

// With this listener, a write beyond the file size limit (ulimit -f) fails with EFBIG. Without it, SIGXFSZ ends the process.
process.on("SIGXFSZ", () => {});

process.exit(await main(process.argv.slice(2)));

/** Whether this program was started as a mount helper: see cli/start/mount-helper.ts. */
function isMountHelper(name: string): boolean {
  return ["mount.fuse.llmfs", "mount.llmfs"].includes(basename(name));
}

/** Loads each role separately, so that helper processes start fast. */
async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === ROLE.guardian) {
    const { guard, TEMPORARY } = await import("./fuse/mounting/guardian.ts");
    await guard(argv[1] ?? "", argv[2] === TEMPORARY);
    return 0;
  }
  if (argv[0] === ROLE.daemon) {
    const { runDaemon } = await import("./cli/process/daemon.ts");
    return runDaemon();
  }
  if (argv[0] === ROLE.helper) {
    const { runHelper } = await import("./generators/workers/child.ts");
    const { runTask } = await import("./generators/workers/tasks.ts");
    await runHelper(runTask);
    return 0;
  }
  if (isMountHelper(readFileSync("/proc/self/cmdline", "utf8").split("\0")[0] ?? "")) {
    const { runMountHelper } = await import("./cli/start/mount-helper.ts");
    return runMountHelper(argv);
  }
  const { llmfs } = await import("./cli/llmfs.ts");
  return llmfs(argv);
}
