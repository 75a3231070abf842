import { resolve } from "node:path";
import { writeAtomically } from "../atomic.ts";
import { command, flags } from "../command.ts";
import { readConfig } from "../config.ts";
import { EXIT, UsageError } from "../exit.ts";
import { openLog } from "../foreground.ts";
import { openGeneration } from "../generation.ts";
import { logFlags, modelFlags, promptFlags } from "../options.ts";
import { createProgress } from "../progress.ts";
import { Interrupted, onSignals } from "../signals.ts";
import { show } from "../terminal.ts";

export const generate = command({
  args: flags({
    ...promptFlags,
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "write the snapshot there; standard output unless said",
    },
    ...modelFlags,
    ...logFlags,
  }),
  notes: ["The snapshot can be looked through, changed, kept, and mounted with --from."],
  async run(args) {
    const config = readConfig(args.logFile === undefined ? { ...args, logFile: "-" } : args);
    if (config.prompt === undefined) throw new UsageError("--prompt is missing, and LLMFS_PROMPT is not set");
    const progress = createProgress();
    const log = openLog(config, "warn", progress.print);
    const interrupted = new AbortController();
    using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => interrupted.abort(new Interrupted(name)));
    await using generation = openGeneration(config, log);
    try {
      const snapshot = await generation.layOut(config.prompt.text, progress, interrupted.signal);
      progress.clear();
      if (args.output === undefined || args.output === "-") show(snapshot);
      else await writeAtomically(resolve(args.output), [snapshot]);
      return EXIT.ok.code;
    } catch (error) {
      throw interrupted.signal.aborted ? interrupted.signal.reason : error;
    } finally {
      progress.clear();
      await log.close();
    }
  },
});
