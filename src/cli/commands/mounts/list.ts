import { type SurveyedMount, surveyMounts } from "../../../app/running/survey.ts";
import { shellWord } from "../../../fuse/mounting/mountpoint.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { formatAge, formatMoney, plural } from "../../output/quantity.ts";
import { formatFiles } from "../../output/status-report.ts";
import { cutLine, formatColumns } from "../../output/table.ts";
import { say, show, showJson } from "../../output/terminal.ts";

export const list = defineCommand({
  args: defineFlags({
    json: { type: "boolean", description: "print the mounts as JSON" },
  }),
  notes: [
    "Lists every llmfs mount of the user; if you are root, those of all users. It includes mounts whose process has ended (dead), is " +
      "stopped or does not answer (busy), mounts in the namespace of a `run`, and trees that could not be saved when their mount " +
      "ended (unsaved).",
    "`llmfs status DIR` shows more about one mount.",
  ],
  async run(args) {
    const mounts = await surveyMounts();
    if (args.json) showJson(mounts);
    else if (mounts.length === 0) say("no llmfs mounts");
    else show(`${formatColumns([HEAD, ...mounts.map(formatRow)]).join("\n")}\n`);
    if (args.json) return EXIT.ok.code;
    for (const { mountpoint, state } of mounts) {
      if (state === "dead") say(`to remove the dead mount, run: llmfs unmount ${shellWord(mountpoint)}`);
    }
    return EXIT.ok.code;
  },
});

const HEAD = ["MOUNT", "STATE", "PID", "AGE", "FILES", "COST", "PROMPT"];

/** Longer prompts are cut. */
const PROMPT_WIDTH = 50;

function formatRow(mount: SurveyedMount): readonly string[] {
  const { mountpoint, state, pid, ageSeconds, files, usage, elsewhere, source } = mount;
  return [
    elsewhere === true ? `${mountpoint} (in the namespace of ${pid})` : mountpoint,
    state,
    pid === undefined ? "-" : String(pid),
    ageSeconds === undefined ? "-" : formatAge(ageSeconds),
    files === undefined ? "-" : formatFiles(files),
    usage === undefined ? "-" : usage.usd > 0 ? formatMoney(usage.usd) : plural(usage.calls, "call"),
    cutLine((mount.prompt ?? mount.from ?? source ?? "").replace(/\s+/g, " "), PROMPT_WIDTH),
  ];
}
