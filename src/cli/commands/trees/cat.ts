import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { describePlace, findPlace, type MountPlace, type SnapshotPlace } from "../../../app/place.ts";
import { ControlClient, ControlRefusal } from "../../../app/running/control-client.ts";
import { streamMountedFile } from "../../../app/running/mounted.ts";
import type { SettingsArguments } from "../../../app/settings/table.ts";
import { codeOf } from "../../../errno.ts";
import { type FileContent, OfflineTree } from "../../../offline/offline-tree.ts";
import { writeAtomically } from "../../../snapshot/write/write.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { generateFlags } from "../../args/flags.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { isOutputClosed, say, showExactly } from "../../output/terminal.ts";
import { holdSnapshot } from "../../preflight/hold-snapshot.ts";
import { checkSave, wrapSaveErrors } from "../../preflight/output-paths.ts";
import { generateTree } from "../../process/generated-tree.ts";
import { asUserError, configureSnapshot, requireComplete } from "../../process/source-tree.ts";

export const cat = defineCommand({
  args: defineFlags({
    save: {
      type: "string",
      valueHint: "FILE",
      description: "for a snapshot: also save the tree, with the generated content, to FILE, which may be the snapshot",
    },
    ...generateFlags,
  }),
  rest: {
    hint: "PATH…",
    description: "files in a mount, such as DIR/README.md, or in a snapshot, such as tree.json/README.md",
    atLeast: 1,
  },
  notes: [
    "Prints the content of files. As when they are read in a mount, pending files are generated first. A snapshot needs no " +
      "mount, and changes only with --save. In both cases, the model's answers are recorded.",
    "A mount uses its own settings; the flags apply to snapshots.",
    `The exit status is ${EXIT.incomplete.code} if a file could not be generated.`,
  ],
  async run(args, paths) {
    const save = args.save === undefined ? undefined : absolutePath(args.save);
    if (save !== undefined) await checkSave("--save", save);
    const places = await Promise.all(paths.map(findPlace));
    const snapshots = Map.groupBy(
      places.filter((place) => place.kind === "snapshot"),
      ({ file }) => file,
    );
    if (args.save !== undefined && snapshots.size !== 1) {
      throw new UserError("usage", "--save needs paths in one snapshot");
    }
    // Which may be the snapshot itself.
    await using _ = save === undefined ? undefined : await holdSnapshot(save);
    const trees = new Map<string, OfflineTree>();
    for (const [file, wanted] of snapshots) trees.set(file, await generateWanted(file, wanted, args));
    for (const place of places) {
      if (place.kind === "mount") await showMounted(place);
      else showContent(contentAt(trees.get(place.file), place) ?? throwMissing(place));
    }
    if (save !== undefined) {
      for (const tree of trees.values()) await wrapSaveErrors(writeAtomically(save, tree.snapshot()));
    }
    return EXIT.ok.code;
  },
});

/** Asks through the control file, because a program that waits in the mount itself could not be ended. */
async function showMounted(place: MountPlace): Promise<void> {
  const { mountpoint, path } = place;
  await using client = await ControlClient.open(mountpoint);
  try {
    await client.make(path);
  } catch (error) {
    if (!(error instanceof ControlRefusal)) throw error;
    const missing = error.code === "ENOENT" && !existsSync(join(mountpoint, path));
    if (missing) throw new UserError("input", `${describePlace(place)} does not exist`, { cause: error });
    const wrong = error.code === "ENOENT" || error.code === "EISDIR" || error.code === "ENOTDIR";
    throw new UserError(wrong ? "input" : "incomplete", `${describePlace(place)}: ${error.message}`);
  }
  for await (const chunk of streamMountedFile(mountpoint, join(mountpoint, path))) {
    showExactly(chunk);
    if (isOutputClosed()) return;
  }
}

/** The tree of a snapshot, in which the files have their content. */
async function generateWanted(
  file: string,
  wanted: readonly SnapshotPlace[],
  args: SettingsArguments,
): Promise<OfflineTree> {
  const config = await configureSnapshot(args, file);
  const options = { warn: say, epoch: config.epoch };
  const tree = new OfflineTree({ file }, options);
  const missing = wanted.filter((place) => {
    try {
      return contentAt(tree, place) === undefined;
    } catch (error) {
      // A rule of the configuration may create it.
      if (config.configuration !== undefined && error instanceof UserError && codeOf(error.cause) === "ENOENT")
        return true;
      throw error;
    }
  });
  if (missing.length === 0) return tree;
  const { text, result } = await generateTree(config, () =>
    missing.map(({ path }) => ({ path, state: "pending", generator: "" })),
  );
  if (result.failed.length > 0) requireComplete(result);
  return new OfflineTree({ text }, options);
}

/** Undefined for a file without content. */
function contentAt(tree: OfflineTree | undefined, place: SnapshotPlace): FileContent | undefined {
  try {
    return tree?.content(place.path);
  } catch (error) {
    throw asUserError(error, describePlace(place));
  }
}

/** Contents that are not larger are printed whole. */
const PIECE = 2 ** 24;

function showContent(content: FileContent): void {
  const piece = new Uint8Array(Math.min(content.size, PIECE));
  for (let offset = 0; offset < content.size && !isOutputClosed(); offset += piece.length) {
    showExactly(piece.subarray(0, content.read(offset, piece)));
  }
}

function throwMissing(place: SnapshotPlace): never {
  throw new UserError("incomplete", `${describePlace(place)} was not generated`);
}
