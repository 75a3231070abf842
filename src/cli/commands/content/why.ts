import { fileAt, lookAt, statFile } from "../../../app/inspect.ts";
import { findMountedFile, readEntries, readFileXattr, readPendingFiles } from "../../../app/running/mounted.ts";
import { OURS } from "../../../attributes.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { fileArguments, lookFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { describeProvenance } from "../../output/provenance-json.ts";
import { failedRenewalOf, type LiveState, reportProvenance, waitsOf } from "../../output/provenance-report.ts";
import { show, showJson } from "../../output/terminal.ts";
import { createQuietLog } from "../../process/serve.ts";

export const why = defineCommand({
  args: defineFlags({
    ...fileArguments,
    json: { type: "boolean", description: "print the facts as JSON" },
    ...lookFlags,
  }),
  notes: [
    "Shows who wrote the file, what it was generated from, what that cost, and whether the same request would be sent today.",
  ],
  async run(args) {
    await using log = createQuietLog();
    const { place, path } = await fileAt(args.path, args.from);
    await using looking = await lookAt(place, args, { log, person });
    const file = await statFile(looking, path, args.path);
    const readLive = (name: string) => ("mounted" in place ? readFileXattr(args.path, `${OURS}${name}`) : undefined);
    const now = "mounted" in place ? await readState(args.path, path, readLive("error") !== undefined) : undefined;
    if (args.json) showJson(await describeProvenance(file, readLive, looking, now));
    else show(`${(await reportProvenance(file, readLive, looking, now)).join("\n")}\n`);
    return EXIT.ok.code;
  },
});

async function readState(file: string, path: string, hasFailed: boolean): Promise<LiveState> {
  const { mountpoint } = await findMountedFile(file);
  const waits = waitsOf(path, await readPendingFiles(mountpoint));
  return hasFailed ? { ...waits, failedRenewal: failedRenewalOf(path, await readEntries(mountpoint)) } : waits;
}
