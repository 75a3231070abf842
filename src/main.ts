/**
 * The entry point: runs a command line, or one of the roles in which llmfs starts itself.
 *
 * Each is loaded separately, because loading everything would take several times as long as Bun itself takes to start.
 */

process.exit(await main(process.argv.slice(2)));

async function main(argv: readonly string[]): Promise<number> {
  const [first, ...others] = argv;
  if (others.length === 0 && (first === "--version" || first === "-V")) {
    const { showVersion } = await import("./cli/version.ts");
    if (await showVersion()) return 0;
  }
  if (argv.some((word) => word.includes("\ufffd"))) {
    const { refuseDamaged } = await import("./cli/args/raw-arguments.ts");
    const status = refuseDamaged(argv);
    if (status !== undefined) return status;
  }
  const { isCompiled, ROLE, startAgain } = await import("./self.ts");
  const { servesItself } = await import("./cli/args/unparsed.ts");
  if (isCompiled() && servesItself(argv)) {
    const { missingServerEnvironment } = await import("./app/settings/proxies.ts");
    const environment = missingServerEnvironment();
    if (environment !== undefined) startAgain(argv, environment);
  }
  if (first === ROLE.daemon) {
    const { prepareThread } = await import("./mount/filesystem-thread.ts");
    prepareThread();
  }
  const { leaveRemovedDirectory } = await import("./app/machine/current-directory.ts");
  leaveRemovedDirectory();
  const helps = isMountHelper();
  // The first process of a container has to take care of all others before it starts any.
  if (first === "mount" && !helps && process.pid !== 1) {
    const { launchEarly } = await import("./cli/process/launcher.ts");
    launchEarly(others);
  }
  await prepareProcess();
  if (first === ROLE.guardian) {
    const { guard, TEMPORARY } = await import("./fuse/mounting/guardian.ts");
    await guard(others[0] ?? "", others[1] === TEMPORARY, async (crash) => {
      const { reportCrash } = await import("./app/running/crash-report.ts");
      await reportCrash(crash);
    });
    return 0;
  }
  if (first === ROLE.daemon) {
    const { runDaemon } = await import("./cli/process/daemon.ts");
    return runDaemon();
  }
  if (first === ROLE.helper) {
    const { runHelper } = await import("./generators/workers/child.ts");
    const { runTask } = await import("./generators/workers/tasks.ts");
    await runHelper(runTask);
    return 0;
  }
  if (helps) {
    const { runMountHelper } = await import("./cli/start/mount-helper.ts");
    return runMountHelper(argv);
  }
  const { llmfs } = await import("./cli/llmfs.ts");
  const status = await llmfs(argv);
  if (first === "mount") {
    const { discardEarly } = await import("./cli/process/launcher.ts");
    await discardEarly();
  }
  return status;
}

async function prepareProcess(): Promise<void> {
  // With this listener, a write beyond the file size limit (ulimit -f) fails with EFBIG. Without it, SIGXFSZ ends the process.
  process.on("SIGXFSZ", () => {});
  const { keepLoopbackDirect } = await import("./app/settings/proxies.ts");
  keepLoopbackDirect();
  const { readChosenHelper } = await import("./app/settings/companions.ts");
  const { chooseHelper } = await import("./fuse/mounting/chosen-helper.ts");
  chooseHelper(readChosenHelper());
  if (process.pid !== 1) return;
  const { actAsInit } = await import("./cli/process/init.ts");
  actAsInit(process.exit);
}

/** Whether this program was started as a mount helper: see cli/start/mount-helper.ts. */
function isMountHelper(): boolean {
  return /(?:^|\/)mount\.(?:fuse\.)?llmfs$/.test(process.argv0);
}

export {};
