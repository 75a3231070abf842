import { UsageError } from "../../../app/errors.ts";
import { describePlace, findPlace } from "../../../app/place.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { generateFlags } from "../../args/flags.ts";
import { openMountedSession } from "../../mcp/mounted-session.ts";
import { serveTools } from "../../mcp/server.ts";
import { withSnapshotSession } from "../../mcp/snapshot-session.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { createProgress } from "../../output/progress.ts";
import { checkSave } from "../../preflight/output-paths.ts";
import { createQuietLog, openLog } from "../../process/serve.ts";
import { Interrupted, onSignals, signalStatus } from "../../process/signals.ts";
import { configureSnapshot } from "../../process/source-tree.ts";

export const mcp = defineCommand({
  args: defineFlags({
    place: {
      type: "positional",
      required: false,
      description: "a mount or a snapshot; default: the mount that contains the current directory",
    },
    readOnly: { type: "boolean", description: "offer no tools that change files, and do not change the snapshot" },
    ...generateFlags,
  }),
  notes: [
    "Serves a tree to a client of the Model Context Protocol over standard input and output. When the client closes standard " +
      "input, requests that have come before are answered, for at most 10 minutes. " +
      "The tools are list, read, search, plan, why, write, edit, regenerate and grow. docs/mcp.md shows how clients start it.",
    "A tool that changes a snapshot saves it before it answers; generated content is saved within a second. A mount uses its own " +
      "settings; the flags apply to snapshots.",
  ],
  async run(args) {
    const place = await findPlace(args.place);
    if (place.path !== "/") {
      throw new UsageError(
        `${describePlace(place)}: name the mount or the snapshot itself; the tools have the whole tree`,
      );
    }
    const ended = new AbortController();
    let ending: string | undefined;
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
      ending = name;
      ended.abort(new Interrupted(name));
    });
    const { signal } = ended;
    if (place.kind === "mount") {
      await using log = createQuietLog();
      await using session = await openMountedSession(place, log);
      await serveTools(session, { readOnly: args.readOnly === true }, signal);
    } else {
      const { file } = place;
      const config = await configureSnapshot(args, file);
      const { readOnly } = config;
      if (!readOnly) await checkSave("the snapshot", file);
      const log = openLog(config, "warn", createProgress());
      try {
        await withSnapshotSession({ args, config, file, readOnly, log, signal }, (session) =>
          serveTools(session, { readOnly }, signal),
        );
      } finally {
        await log.close();
      }
    }
    return ending === undefined ? EXIT.ok.code : signalStatus(ending);
  },
});
