/**
 * A structure as a tree without a mount, for plans and for recordings made in advance.
 *
 * It answers like a tree that was just mounted from the structure, so that requests are the same.
 */
import { DEFAULT_GENERATOR } from "../attributes.ts";
import { FsError } from "../errno.ts";
import { folderOf } from "../generate/context/outline.ts";
import type { ProposedEntry, Structure } from "../generate/structure/structure.ts";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { FileInfo, TreePort } from "../rpc/tree-port.ts";

export interface StructureTree extends TreePort {
  /** The paths of all files, in tree order. */
  readonly files: readonly string[];
  /** The request that the first read of a file causes. */
  request(path: string): GenerationRequest;
}

export function createStructureTree(structure: Structure): StructureTree {
  const entries = new Map(structure.entries.map((entry) => [entry.path, entry]));
  const paths = [...entries.keys()];
  const numbers = new Map(paths.map((path, index) => [path, index + 1]));
  const below = Map.groupBy(
    structure.entries.filter(({ path }) => path !== "/"),
    ({ path }) => folderOf(path),
  );

  function stat(path: string): FileInfo {
    const entry = entries.get(path);
    if (entry === undefined) throw new FsError("ENOENT", `${path}: no such file in the structure`);
    return infoOf(entry);
  }

  return {
    files: paths.filter((path) => entries.get(path)?.type === "file"),
    request(path) {
      const prompts: string[] = [];
      for (let at = path; ; at = folderOf(at)) {
        const entry = entries.get(at);
        if (entry?.type === "directory" && entry.prompt) prompts.unshift(entry.prompt);
        if (at === "/") break;
      }
      const ino = numbers.get(path) ?? 0;
      return { ticket: ino, ino, path, generator: DEFAULT_GENERATOR, file: stat(path), prompts, pause: 0 };
    },
    outline: async () => structure.entries.map(infoOf),
    list: async (path) => {
      if (stat(path).type !== "directory") throw new FsError("ENOTDIR", `${path} is not a directory`);
      return (below.get(path) ?? []).map(infoOf);
    },
    stat: async (path) => stat(path),
    read: async (path) => {
      throw new FsError("EIO", `${path} has no content: the structure is not mounted`);
    },
    readStatic: async () => undefined,
  };
}

function infoOf(entry: ProposedEntry): FileInfo {
  const { path, type } = entry;
  const mode = type === "directory" ? 0o755 : type === "symlink" ? 0o777 : 0o644;
  const owner = { mode, uid: 0, gid: 0, xattrs: new Map<string, string>() };
  if (type === "symlink") return { path, type, target: entry.target, ...owner };
  const described = entry.description ? { description: entry.description } : {};
  return type === "file"
    ? { path, type, state: "pending", ...described, ...owner }
    : { path, type, ...described, ...owner };
}
