import { constants } from "node:fs";
import { mkdir, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UserError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { describePlace, findPlace, type MountPlace, type SnapshotPlace } from "../../../app/place.ts";
import { whileAnswering } from "../../../app/running/answering.ts";
import { codeOf, reasonOf } from "../../../errno.ts";
import { findMountAt } from "../../../mountinfo.ts";
import { OfflineTree } from "../../../offline/offline-tree.ts";
import { writeAtomically } from "../../../snapshot/write/write.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { say } from "../../output/terminal.ts";
import { holdSnapshot } from "../../preflight/hold-snapshot.ts";
import { wrapSaveErrors } from "../../preflight/output-paths.ts";
import { asUserError } from "../../process/source-tree.ts";

export const write = defineCommand({
  args: defineFlags({
    path: {
      type: "positional",
      required: true,
      description: "a file in a mount, such as DIR/notes.md, or in a snapshot, such as tree.json/notes.md",
    },
    input: { type: "string", valueHint: "FILE", description: "the content; default: standard input" },
    append: { type: "boolean", alias: "a", description: "append to the content instead of replacing it" },
    parents: { type: "boolean", alias: "p", description: "create missing parent directories" },
  }),
  notes: [
    "Writes a file. If the file was pending, it is never generated. A snapshot needs no mount; it is replaced completely or " +
      "not at all.",
  ],
  async run(args) {
    const place = await findPlace(args.path);
    const content = await readInput(args.input);
    if (place.kind === "mount") await writeMounted(place, content, args);
    else await writeSnapshot(place, content, args);
    return EXIT.ok.code;
  },
});

interface WriteFlags {
  readonly append: boolean;
  readonly parents: boolean;
}

async function readInput(input: string | undefined): Promise<Uint8Array> {
  if (input === undefined || input === "-") return await Bun.stdin.bytes();
  try {
    return await readFile(absolutePath(input));
  } catch (error) {
    throw new UserError("input", `--input ${input} cannot be read: ${reasonOf(error, input)}`, { cause: error });
  }
}

/** As any program would. A pending file is emptied when it is opened, so nothing is generated unless it is appended to. */
async function writeMounted(place: MountPlace, content: Uint8Array, flags: WriteFlags): Promise<void> {
  try {
    await whileAnswering(findMountAt(place.mountpoint), writeFile(join(place.mountpoint, place.path), content, flags));
  } catch (error) {
    if (error instanceof UserError) throw error;
    const wrong = ["ENOENT", "ENOTDIR", "EISDIR"].includes(codeOf(error) ?? "");
    const shown = describePlace(place);
    throw new UserError(wrong ? "input" : "failure", `${shown} cannot be written: ${reasonOf(error, shown)}`, {
      cause: error,
    });
  }
}

async function writeFile(path: string, content: Uint8Array, { append, parents }: WriteFlags): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants;
  if (parents) await mkdir(dirname(path), { recursive: true });
  await using file = await open(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0o644);
  for (let rest = content; rest.length > 0; ) rest = rest.subarray((await file.write(rest)).bytesWritten);
}

async function writeSnapshot(place: SnapshotPlace, content: Uint8Array, flags: WriteFlags): Promise<void> {
  await using _ = await holdSnapshot(place.file);
  const tree = new OfflineTree({ file: place.file }, { warn: say, rewrites: true });
  try {
    tree.write(place.path, content, flags);
  } catch (error) {
    throw asUserError(error, describePlace(place));
  }
  await wrapSaveErrors(writeAtomically(place.file, tree.snapshot()));
}
