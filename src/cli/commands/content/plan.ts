import { lookAt, placeOf } from "../../../app/inspect.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { lookFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { formatPlan, planFiles, summarizeFile } from "../../output/plan-report.ts";
import { createProgress } from "../../output/progress.ts";
import { show, showJson } from "../../output/terminal.ts";
import { createQuietLog } from "../../process/serve.ts";

export const plan = defineCommand({
  args: defineFlags({
    source: {
      type: "positional",
      required: false,
      description: "a mount or a snapshot; default: the mount that contains the current directory",
    },
    ...lookFlags,
    files: { type: "boolean", description: "also print a line for each file" },
    json: { type: "boolean", description: "print the plan as JSON, with the request key of each file" },
  }),
  notes: [
    "Shows which files are pending, which of them recordings can answer, and what the others may cost. Sends nothing and " +
      "generates nothing. The tokens to send are counted; the length of answers is not known in advance, hence a range.",
    "Without --model, a snapshot is planned for the model of the recordings, if a folder has those of only one.",
    `The exit status is ${EXIT.incomplete.code} if some files cannot be generated, such as files that depend on each other.`,
  ],
  async run(args) {
    await using log = createQuietLog();
    await using looking = await lookAt(await placeOf(args.source), args, { log, person });
    const { planned, each } = await planFiles(looking, createProgress());
    if (args.json) showJson({ ...planned, each: each.map(summarizeFile) });
    else show(formatPlan(planned, args.files ? each : []));
    return planned.failed.length === 0 ? EXIT.ok.code : EXIT.incomplete.code;
  },
});
