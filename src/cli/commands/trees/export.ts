import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { createGzip, createZstdCompress } from "node:zlib";
import { UsageError, UserError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { describePlace, findPlace } from "../../../app/place.ts";
import { codeOf, reasonOf } from "../../../errno.ts";
import { findMountOnPath } from "../../../inside-mount.ts";
import type { OfflineTree } from "../../../offline/offline-tree.ts";
import { writeAtomically } from "../../../snapshot/write/write.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { chooseFlags, generateFlags, placeArgument } from "../../args/flags.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { plural } from "../../output/quantity.ts";
import { isTerminal, say, showBytes, showJson } from "../../output/terminal.ts";
import { wrapSaveErrors } from "../../preflight/output-paths.ts";
import { asUserError, openSourceTree } from "../../process/source-tree.ts";

export const exportTree = defineCommand({
  args: defineFlags({
    source: placeArgument,
    target: {
      type: "positional",
      required: true,
      description:
        "a new or empty directory; an archive NAME.tar, .tar.gz, .tgz, .tar.zst or .zip; or - for a tar on standard output",
    },
    ...chooseFlags,
    force: {
      type: "boolean",
      description: "also write to a directory that is not empty; other files in it stay, and so does a .git",
    },
    json: { type: "boolean", description: "print what was written as JSON" },
    ...generateFlags,
  }),
  notes: [
    "Turns a tree into ordinary files, with modes, times, links, holes and attributes. Pending files that --pending or --only " +
      "excludes are left out. A snapshot needs no mount, and does not change. The flags about the model apply to snapshots; a mount " +
      "uses its own settings.",
    "Into a directory, setuid and setgid bits of files and device nodes are not written: they have no effect in a mount, and " +
      "whoever made the tree could use the rights of the user who exports it.",
    "With --force, files of the same name are replaced; a directory is replaced by a file only if it is empty. A .git that is " +
      "there already is left as it is, in every directory, and a line reports it: mixing two repositories would destroy both. To " +
      "replace it by that of the tree, remove it first.",
    "A zip archive holds names, permissions, times in seconds and symlinks. A tar archive also holds owners, hard links, attributes, " +
      "and names that are not UTF-8.",
    `If a file cannot be generated, nothing is written, and the exit status is ${EXIT.incomplete.code}.`,
  ],
  async run(args) {
    const archive = isArchive(args.target);
    if (args.target === "-" && args.json)
      throw new UsageError("--json and - exclude each other: both are standard output");
    if (args.target === "-" && isTerminal(1))
      throw new UsageError("a tar is not for a terminal; redirect standard output");
    const place = await findPlace(args.source);
    const target = absolutePath(args.target);
    const made = archive ? false : prepareDirectory(args.target, target, args.force);
    try {
      const tree = await openSourceTree(place, args);
      if (args.target === "-") for await (const piece of tree.tar(place.path)) showBytes(piece);
      else if (archive) await wrapSaveErrors(writeAtomically(target, createArchive(args.target, tree, place.path)));
      else {
        const written = tree.writeTo(target, place.path);
        if (args.json) showJson({ target, ...written });
        else {
          const { files, leftOut } = written;
          say(
            `wrote ${plural(files, "file")} to ${args.target}${leftOut > 0 ? `; left out ${plural(leftOut, "pending file")}` : ""}`,
          );
        }
        return EXIT.ok.code;
      }
      if (args.json) showJson({ target });
      return EXIT.ok.code;
    } catch (error) {
      if (made) removeIfEmpty(target);
      throw asUserError(error, describePlace(place));
    }
  },
});

const ARCHIVE = /\.(?:tar|tar\.gz|tgz|tar\.zst|zip)$/;
/** Archives of other kinds. A directory with such a name is almost certainly not meant. */
const OTHER = /\.(?:tar\.\w+|tb2|tbz2?|txz|tzst|tlz|7z|rar|cpio|cab|iso|jar|war|gz|bz2|xz|zst|lz4|lzma|br)$/i;

/** Throws UsageError for a kind of archive that cannot be written. */
function isArchive(target: string): boolean {
  if (target === "-" || ARCHIVE.test(target)) return true;
  const [ending] = OTHER.exec(target.replace(/\/+$/, "")) ?? [];
  if (ending === undefined || target.endsWith("/") || existsSync(target)) return false;
  throw new UsageError(
    `${target}: cannot write ${ending}; use .tar, .tar.gz, .tgz, .tar.zst or .zip. For a directory of that name, add a slash: ${target}/`,
  );
}

function createArchive(name: string, tree: OfflineTree, path: string): AsyncGenerator<Uint8Array> {
  return name.endsWith(".zip") ? tree.zip(path) : compress(name, tree.tar(path));
}

/** Returns whether the directory was made. */
function prepareDirectory(named: string, target: string, force: boolean): boolean {
  const mount = findMountOnPath(target);
  if (mount !== undefined) throw new UsageError(`${named} is inside ${mount}; choose a place outside of it`);
  try {
    if (readdirSync(target).length === 0 || force) return false;
  } catch (error) {
    if (codeOf(error) !== "ENOENT")
      throw new UserError("save", `${named}: ${reasonOf(error, target)}`, { cause: error });
    makeDirectory(named, target);
    return true;
  }
  throw new UserError("save", `${named} is not empty; choose another directory, or use --force to write into it`);
}

function makeDirectory(named: string, target: string): void {
  try {
    mkdirSync(target);
  } catch (error) {
    throw new UserError("save", `${named} cannot be written: ${reasonOf(error, target)}`, { cause: error });
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // What was written stays.
  }
}

async function* compress(name: string, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (name.endsWith(".tar")) return yield* pieces;
  const stream = name.endsWith(".zst") ? createZstdCompress() : createGzip();
  const feeding = (async () => {
    for await (const piece of pieces) {
      if (!stream.write(piece)) await new Promise<void>((resolve) => stream.once("drain", () => resolve()));
    }
    stream.end();
  })();
  feeding.catch((error) => stream.destroy(error));
  for await (const piece of stream) yield piece;
}
