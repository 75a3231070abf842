import { absolutePath } from "../../../app/machine/current-directory.ts";
import { findMounted, streamControlFile } from "../../../app/running/mounted.ts";
import { writeAtomically } from "../../../snapshot/write/write.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { showExactly } from "../../output/terminal.ts";
import { wrapSaveErrors } from "../../preflight/output-paths.ts";

export const save = defineCommand({
  args: defineFlags({
    dir: { type: "positional", required: true, description: "the mount" },
    file: { type: "positional", required: true, description: "the snapshot to write, or - for standard output" },
  }),
  notes: [
    "FILE is replaced completely or not at all. A new file has mode 0600; an existing one keeps its mode. The mount stays " +
      "mounted.",
  ],
  async run(args) {
    const mountpoint = await findMounted(args.dir);
    const chunks = streamControlFile(mountpoint, "snapshot.json");
    if (args.file === "-") for await (const chunk of chunks) showExactly(chunk);
    else await wrapSaveErrors(writeAtomically(absolutePath(args.file), chunks));
    return EXIT.ok.code;
  },
});
