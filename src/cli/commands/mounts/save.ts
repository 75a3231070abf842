import { UsageError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { findMountPlace } from "../../../app/place.ts";
import { findCurrentMount, findMount } from "../../../app/running/find-mount.ts";
import { findMounted, streamControlFile } from "../../../app/running/mounted.ts";
import { writeAtomically } from "../../../snapshot/write/write.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { showExactly, showJson } from "../../output/terminal.ts";
import { wrapSaveErrors } from "../../preflight/output-paths.ts";

export const save = defineCommand({
  args: defineFlags({
    dir: {
      type: "positional",
      required: false,
      description: "the mount; default: the mount that contains the current directory",
    },
    file: {
      type: "positional",
      required: false,
      description: "the snapshot to write, or - for standard output; a single argument is FILE",
    },
    json: { type: "boolean", description: "print where the snapshot is as JSON" },
  }),
  notes: [
    "FILE is replaced completely or not at all. A new file has mode 0600; an existing one keeps its mode. The mount stays " +
      "mounted.",
  ],
  async run(args) {
    const { dir, file } = chooseArguments(args);
    if (file === "-" && args.json) throw new UsageError("--json and - exclude each other: both are standard output");
    const mountpoint = dir === undefined ? (await findMountPlace(undefined)).mountpoint : await findMounted(dir);
    const chunks = streamControlFile(mountpoint, "snapshot.json");
    if (file === "-") for await (const chunk of chunks) showExactly(chunk);
    else await wrapSaveErrors(writeAtomically(absolutePath(file), chunks));
    if (args.json) showJson({ mountpoint, target: absolutePath(file) });
    return EXIT.ok.code;
  },
});

/** Throws UsageError. */
function chooseArguments({ dir, file }: { readonly dir: string | undefined; readonly file: string | undefined }) {
  if (dir === undefined) throw new UsageError("FILE is missing");
  if (file !== undefined) return { dir, file };
  if (dir !== "-" && findMount(dir)?.within === "") throw new UsageError("FILE is missing");
  if (findCurrentMount() !== undefined) return { dir: undefined, file: dir };
  throw new UsageError("FILE is missing; DIR can be left out only in a mount, and the current directory is in none");
}
