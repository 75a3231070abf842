/** The entry point: runs a command line, or one of the roles in which llmfs starts itself. */
import process from "node:process";
import { leaveRemovedDirectory } from "./app/machine/current-directory.ts";
import { keepLoopbackDirect } from "./app/settings/proxies.ts";
import { ROLE } from "./self.ts";

leaveRemovedDirectory();
keepLoopbackDirect();
if (process.pid === 1) {
  const { actAsInit } = await import("./cli/process/init.ts");
  actAsInit(process.exit);
}

// With this listener, a write beyond the file size limit (ulimit -f) fails with EFBIG. Without it, SIGXFSZ ends the process.
process.on("SIGXFSZ", () => {});

process.exit(await main(process.argv.slice(2)));

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
  const { llmfs } = await import("./cli/llmfs.ts");
  return llmfs(argv);
}
