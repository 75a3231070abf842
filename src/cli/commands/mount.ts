import { findConfigurationToRun } from "../../app/configuration.ts";
import { checkMountpointPath } from "../../app/mountpoint.ts";
import { readConfig } from "../../app/settings/settings.ts";
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import { defineCommand, defineFlags } from "../args/command.ts";
import { logFlags, mountFlags } from "../args/flags.ts";
import { isTerminal, say, showJson } from "../output/terminal.ts";
import { createNotPermittedError, findWayToMount } from "../preflight/mount-capability.ts";
import { checkOutputs } from "../preflight/output-paths.ts";
import { mountInBackground } from "../process/launcher.ts";

export const mount = defineCommand({
  args: defineFlags({
    dir: { type: "positional", required: true, description: "an empty directory" },
    ...mountFlags,
    foreground: { type: "boolean", alias: "f", description: "stay in the foreground; Ctrl-C unmounts" },
    json: { type: "boolean", description: "print where it is mounted and the process that serves it, as JSON" },
    ...logFlags,
  }),
  notes: [
    "With --warm it returns when every file was generated; the reasons of failures are listed, and the mount stays (status 90).",
    "Returns when the mount answers; the filesystem is then served in the background. Without a prompt and without a " +
      "snapshot it is empty, and no model is asked.",
    "Mount tables (df, findmnt) show the name of the snapshot, of the prompt's file or of DIR as the source, as " +
      "llmfs:tree.json, with a number where another mount has it already.",
    "SIGTERM, SIGINT and SIGHUP to the serving process save, if --save is given, and then unmount; a second one does not " +
      "wait for programs that still use the mount. Where the tree can be saved nowhere, the mount stays, and the log says why.",
    "A mount that is unmounted by other means (umount, fusermount3 -u) is saved afterwards. Where it can be saved nowhere, " +
      "the process keeps the tree and tries again every few seconds, until a signal ends that.",
  ],
  async run(args) {
    const config = { ...readConfig(args), configFile: await findConfigurationToRun(args.config, say) };
    // Before a tree is laid out, which may cost something, it has to be certain.
    const way = await findWayToMount({ certain: config.prompt !== undefined });
    if (way.how === "none") throw createNotPermittedError(way.refusal);
    const mountpoint = await checkMountpointPath(args.dir);
    await checkOutputs(config, mountpoint);
    const reportMounted = (pid: number) => {
      if (args.json) showJson({ mountpoint, pid }, 0);
    };
    if (args.foreground) {
      const { mountAndServe } = await import("../process/serve.ts");
      return mountAndServe({ config, mountpoint, terminalLevel: "info", ready: () => reportMounted(process.pid) });
    }
    const { pid, status } = await mountInBackground({ config, mountpoint });
    reportMounted(pid);
    if (isTerminal()) say(`mounted at ${args.dir}; to end it: llmfs unmount ${shellWord(args.dir)}`);
    return status;
  },
});
