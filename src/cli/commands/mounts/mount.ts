import { absolutePath } from "../../../app/machine/current-directory.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { logFlags, mountFlags } from "../../args/flags.ts";
import { isTerminal, say, showJson } from "../../output/terminal.ts";
import type { MountArguments } from "../../preflight/prepare-mount.ts";
import { type Assignment, discardEarly, launch } from "../../process/launcher.ts";
import { notifyService } from "../../start/service-manager.ts";

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
    "With --warm it returns when every file has been generated. If some files failed, it lists the reasons, keeps the mount, and " +
      "exits with status 90.",
    "As the source of the mount, df and findmnt show the name of the snapshot, of the prompt file or of DIR, such as " +
      "llmfs:tree.json, with a number if another mount already has that name.",
    "On SIGTERM, SIGINT or SIGHUP, the serving process saves the tree (with --save) and unmounts. On a second signal, it no longer " +
      "waits for programs that still use the mount. If the tree cannot be saved anywhere, the mount stays, and the log says why.",
    "After umount or fusermount3 -u, the tree is saved too. If it cannot be saved anywhere, the process keeps it and tries " +
      "again every few seconds, until it gets a signal.",
  ],
  async run(args) {
    const reportMounted = (mountpoint: string, pid: number) => {
      notifyService(`READY=1\nSTATUS=mounted at ${mountpoint}`);
      if (args.json) showJson({ mountpoint, pid }, 0);
    };
    if (args.foreground) {
      await discardEarly();
      const job = await prepare(args);
      const { mountAndServe } = await import("../../process/serve.ts");
      try {
        const ready = () => reportMounted(job.mountpoint, process.pid);
        return await mountAndServe({ ...job, terminalLevel: "info", ready });
      } finally {
        notifyService("STOPPING=1");
      }
    }
    await using daemon = await launch(absolutePath(args.dir));
    const job = await prepare(args);
    const { pid, status } = await daemon.mount(job);
    reportMounted(job.mountpoint, pid);
    if (isTerminal()) {
      const { shellWord } = await import("../../../fuse/mounting/mountpoint.ts");
      say(`mounted at ${args.dir}; to unmount: llmfs unmount ${shellWord(args.dir)}`);
    }
    return status;
  },
});

/** Loaded while the daemon starts. */
async function prepare(args: MountArguments): Promise<Assignment> {
  const { prepareMount } = await import("../../preflight/prepare-mount.ts");
  return prepareMount(args);
}
