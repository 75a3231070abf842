import { configure } from "../../app/configuration/configure.ts";
import { checkMountpointPath } from "../../app/mountpoint.ts";
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import { defineCommand, defineFlags } from "../args/command.ts";
import { logFlags, mountFlags } from "../args/flags.ts";
import { person } from "../output/ask.ts";
import { isTerminal, say, showJson } from "../output/terminal.ts";
import { createNotPermittedError, findWayToMount } from "../preflight/mount-capability.ts";
import { checkOutputs } from "../preflight/output-paths.ts";
import { mountInBackground } from "../process/launcher.ts";
import { notifyService } from "../start/service-manager.ts";

export const mount = defineCommand({
  args: defineFlags({
    dir: { type: "positional", required: true, description: "an empty directory to mount at" },
    ...mountFlags,
    foreground: { type: "boolean", alias: "f", description: "stay in the foreground; Ctrl-C unmounts" },
    json: { type: "boolean", description: "print the mountpoint and the process that serves it as JSON" },
    ...logFlags,
  }),
  unasked: ["dir"],
  notes: [
    "Returns when the mount is ready, and serves it in the background. Without a prompt or a snapshot the tree is empty, and " +
      "no model is asked.",
    "With --warm it returns when every file has been generated. If some failed, it lists the reasons, keeps the mount, and " +
      "exits with status 90.",
    "df and findmnt show the name of the snapshot, of the prompt file or of DIR as the source, such as llmfs:tree.json, " +
      "with a number if another mount already has that name.",
    "SIGTERM, SIGINT and SIGHUP make the serving process save (with --save) and unmount. A second signal does not wait for " +
      "programs that still use the mount. If the tree cannot be saved anywhere, the mount stays, and the log says why.",
    "After umount or fusermount3 -u, the tree is saved too. If it cannot be saved anywhere, the process keeps it and tries " +
      "again every few seconds, until it gets a signal.",
  ],
  async run(args) {
    const config = await configure(args, person);
    // Generating a layout may cost money, so make sure first that mounting will work.
    const way = await findWayToMount({ certain: config.prompt !== undefined || config.grow !== undefined });
    if (way.how === "none") throw createNotPermittedError(way.refusal);
    const mountpoint = await checkMountpointPath(args.dir);
    await checkOutputs(config, mountpoint);
    const reportMounted = (pid: number) => {
      notifyService(`READY=1\nSTATUS=mounted at ${mountpoint}`);
      if (args.json) showJson({ mountpoint, pid }, 0);
    };
    if (args.foreground) {
      const { mountAndServe } = await import("../process/serve.ts");
      try {
        return await mountAndServe({
          config,
          mountpoint,
          terminalLevel: "info",
          ready: () => reportMounted(process.pid),
        });
      } finally {
        notifyService("STOPPING=1");
      }
    }
    const { pid, status } = await mountInBackground({ config, mountpoint });
    reportMounted(pid);
    if (isTerminal()) say(`mounted at ${args.dir}; to unmount: llmfs unmount ${shellWord(args.dir)}`);
    return status;
  },
});
