import { configure } from "../../../app/configuration/configure.ts";
import { UsageError, UserError } from "../../../app/errors.ts";
import { openGeneration } from "../../../app/generation.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { configFlags, logFlags, modelFlags, promptFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { createProgress } from "../../output/progress.ts";
import { showExactly, showJson } from "../../output/terminal.ts";
import { checkSave, writeSnapshotFile } from "../../preflight/output-paths.ts";
import { openLog } from "../../process/serve.ts";
import { Interrupted, onSignals } from "../../process/signals.ts";

export const generate = defineCommand({
  args: defineFlags({
    ...promptFlags,
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "write the snapshot to FILE; default: standard output",
    },
    showRequest: {
      type: "boolean",
      description: "print the first request for the layout as JSON, exactly as it is sent, and send nothing",
    },
    ...configFlags,
    ...modelFlags,
    ...logFlags,
    logFile: { ...logFlags.logFile, description: "log to FILE, rotated by size; default: no log" },
  }),
  notes: ["You can read and edit the snapshot, and mount it with --from."],
  async run(args) {
    const config = await configure({ ...args, logFile: args.logFile ?? "-" }, person);
    if (config.prompt === undefined) throw new UsageError("--prompt is missing, and LLMFS_PROMPT is not set");
    if (args.output !== undefined && args.output !== "-") await checkSave("--output", absolutePath(args.output));
    const progress = createProgress();
    const log = openLog(config, "warn", progress);
    const interrupted = new AbortController();
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => interrupted.abort(new Interrupted(name)));
    await using generation = openGeneration(config, log);
    try {
      if (args.showRequest) {
        showJson(await generation.showLayoutRequest(config.prompt.text));
        return EXIT.ok.code;
      }
      const snapshot = await generation.layOut(config.prompt.text, progress, interrupted.signal);
      progress.clear();
      if (args.output === undefined || args.output === "-") showExactly(snapshot);
      else await writeSnapshotFile(args.output, toPieces(snapshot));
      const [unsettled] = await generation.settleRecordings();
      if (unsettled !== undefined) throw new UserError("recordings", unsettled);
      return EXIT.ok.code;
    } catch (error) {
      throw interrupted.signal.aborted ? interrupted.signal.reason : error;
    } finally {
      progress.clear();
      await log.close();
    }
  },
});

async function* toPieces(whole: Uint8Array): AsyncGenerator<Uint8Array> {
  yield whole;
}
