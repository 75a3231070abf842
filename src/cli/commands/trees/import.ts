import { existsSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../../app/errors.ts";
import { availableMemory } from "../../../app/machine/available-memory.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { describePlace, findPlace, type Place } from "../../../app/place.ts";
import { findMount } from "../../../app/running/find-mount.ts";
import { FsError, reasonOf } from "../../../errno.ts";
import { findMountOnPath } from "../../../inside-mount.ts";
import { OfflineTree, type OfflineTreeOptions } from "../../../offline/offline-tree.ts";
import { writeAtomically } from "../../../snapshot/write/write.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { formatBytes, plural } from "../../output/quantity.ts";
import { say, showJson } from "../../output/terminal.ts";
import { holdSnapshot } from "../../preflight/hold-snapshot.ts";
import { wrapSaveErrors } from "../../preflight/output-paths.ts";
import { asUserError } from "../../process/source-tree.ts";

export const importFiles = defineCommand({
  args: defineFlags({
    from: {
      type: "positional",
      required: true,
      description: "a directory, a tar or zip archive, or - for a tar on standard input",
    },
    target: {
      type: "positional",
      required: false,
      description:
        "a mount, a snapshot, or a directory in one, such as DIR/src or tree.json/src; a snapshot that does not exist is created; default: the mount that contains the current directory",
    },
    json: { type: "boolean", description: "print how many entries were imported as JSON" },
  }),
  notes: [
    "Adds files to a tree, with modes, times, links and attributes. Existing files of the same name are replaced; all others stay. " +
      "A snapshot needs no mount; it is replaced completely or not at all. A tar archive may be compressed with gzip or zstd. A zip archive holds no owners, hard links or attributes.",
  ],
  async run(args) {
    const place = await findTarget(args.target);
    const source = findSource(args.from);
    let entries: number;
    try {
      entries = place.kind === "mount" ? await importMounted(place, source) : await importSnapshot(place, source);
    } catch (error) {
      if (error instanceof Error && (error.name === "ArchiveError" || error.name === "DirectoryCopyError")) {
        throw new UserError("input", `${args.from}: ${error.message}`, { cause: error });
      }
      if (error instanceof FsError && error.code === "ENOSPC" && "archive" in source) throw createSizeError(args.from);
      throw asUserError(error, describePlace(place));
    }
    if (args.json) showJson({ target: describePlace(place), entries });
    else say(`imported ${plural(entries, "entry", "entries")}`);
    return EXIT.ok.code;
  },
});

type Source = { readonly directory: string } | { readonly archive: string | AsyncIterable<Uint8Array> };

async function findTarget(named: string | undefined): Promise<Place> {
  if (named === undefined || existsSync(absolutePath(named)) || findMount(named) !== undefined)
    return await findPlace(named);
  const [, file, path = "/"] = /^(.*?\.json)(\/.*)?$/.exec(absolutePath(named)) ?? [];
  if (file === undefined || existsSync(file)) return await findPlace(named);
  return { kind: "snapshot", file, path };
}

function findSource(named: string): Source {
  if (named === "-") return { archive: Bun.stdin.stream() };
  const path = absolutePath(named);
  try {
    if (!statSync(path).isDirectory()) return { archive: path };
  } catch (error) {
    throw new UserError("input", `${named} cannot be read: ${reasonOf(error, path)}`, { cause: error });
  }
  const mount = findMountOnPath(path);
  if (mount === undefined) return { directory: path };
  throw new UserError("input", `${named} is in ${mount}; export it first: llmfs export ${named} DIR`);
}

async function importSnapshot({ file, path }: Place & { kind: "snapshot" }, source: Source): Promise<number> {
  await using _ = await holdSnapshot(file);
  const before = existsSync(file) ? statSync(file).size : undefined;
  const options = { warn: say, rewrites: true, ...limitFor(source, before) };
  const tree = new OfflineTree(before === undefined ? undefined : { file }, options);
  const entries = await add(tree, source, path);
  await wrapSaveErrors(writeAtomically(file, tree.snapshot()));
  return entries;
}

/** The limit for what comes from an archive: that of a mount without --size. */
function readLimit(): number {
  return Math.floor(availableMemory() / 2);
}

/** An archive may be much larger than it looks. `before`: the bytes of what is there already. */
function limitFor(source: Source, before = 0): Pick<OfflineTreeOptions, "space"> {
  return "archive" in source ? { space: { bytes: readLimit() + before } } : {};
}

function createSizeError(name: string): UserError {
  return new UserError(
    "input",
    `${name}: its contents do not fit into ${formatBytes(readLimit())}, half of the memory here; unpack it, and import directories of it`,
  );
}

async function add(tree: OfflineTree, source: Source, path: string): Promise<number> {
  if ("archive" in source) return await tree.addArchive(source.archive, path);
  const { created, changed } = tree.merge(source.directory, path);
  return created + changed;
}

/** Through the kernel, as any program would. */
async function importMounted({ mountpoint, path }: Place & { kind: "mount" }, source: Source): Promise<number> {
  const tree = new OfflineTree(undefined, { warn: say, ...limitFor(source) });
  await add(tree, source, "/");
  const target = path === "/" ? mountpoint : join(mountpoint, path);
  await mkdir(target, { recursive: true });
  // In a mount, setuid files and devices have no effect.
  const { files, directories } = tree.writeTo(target, "/", { privileges: true });
  return files + directories;
}
