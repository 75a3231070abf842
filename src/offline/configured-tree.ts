/**
 * The files of a configuration as a tree without a mount, for `llmfs generators test`.
 *
 * It contains the entries created by rules and those listed by generators. A file is generated once, when it is first read.
 */

import { DEFAULT_GENERATOR } from "../attributes.ts";
import { findWay, waitsForItself } from "../cycle.ts";
import { FsError } from "../errno.ts";
import { folderOf } from "../generate/context/outline.ts";
import type { Engine } from "../generate/engine.ts";
import type { LoadedConfig } from "../generators/config/load.ts";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { FileInfo, TreeEntry, TreePort } from "../rpc/tree-port.ts";

export interface Unmounted extends TreePort {
  /** The request that the first read of a file causes. */
  request(path: string): GenerationRequest;
}

export function createConfiguredTree(config: LoadedConfig, engine: () => Engine, signal: AbortSignal): Unmounted {
  /** Which files wait for which, by ino. The ino is also the ticket. */
  const waits = new Map<number, Set<number>>();
  const inos = new Map<string, number>();
  const paths: string[] = [];
  /** Generated contents by path. */
  const made = new Map<string, Promise<Uint8Array>>();

  function inoOf(path: string): number {
    const known = inos.get(path);
    if (known !== undefined) return known;
    inos.set(path, paths.push(path));
    return paths.length;
  }

  function info(path: string): FileInfo {
    const planted = config.plants.find((one) => one.path === path);
    const inside = config.plants.some((one) => one.path.startsWith(path === "/" ? path : `${path}/`));
    const type = planted?.type ?? (inside ? "directory" : "file");
    const owner = { mode: type === "file" ? 0o644 : 0o755, uid: 0, gid: 0, xattrs: new Map<string, string>() };
    return { path, type, ...(type === "file" && { state: "pending" }), ...owner };
  }

  function request(path: string): GenerationRequest {
    const ino = inoOf(path);
    return { ticket: ino, ino, path, generator: DEFAULT_GENERATOR, file: info(path), prompts: [], pause: 0 };
  }

  return {
    request,
    outline: async () => config.plants.map(({ path }): TreeEntry => info(path)),
    stat: async (path) => info(path),
    async list(path) {
      const listing = config.plants.find((one) => one.type === "directory" && one.path === path);
      if (listing?.generator === undefined) {
        return config.plants.filter((one) => folderOf(one.path) === path).map((one) => info(one.path));
      }
      const { generator } = listing;
      const ino = inoOf(path);
      const { entries } = await engine().list({ ticket: ino, ino, path, generator, pause: 0 }, signal);
      return entries.map((entry) => ({ path: `${path === "/" ? "" : path}/${entry.path}`, type: entry.type }));
    },
    async read(path, requester) {
      const ino = inoOf(path);
      if (requester !== undefined) {
        const way = findWay(ino, requester, (at) => waits.get(at) ?? []);
        if (way !== undefined) throw waitsForItself(way.map((one) => paths[one - 1] ?? ""));
        const set = waits.get(requester) ?? new Set();
        waits.set(requester, set.add(ino));
      }
      const known = made.get(path);
      if (known !== undefined) return await known;
      if (!config.rules.all.some(({ match }) => match.match(path) !== undefined)) {
        throw new FsError("ENOENT", `${path}: no rule creates this file, and there is no mount that could have it`);
      }
      const making = engine()
        .generate(request(path), signal)
        .then(({ bytes }) => bytes);
      made.set(path, making);
      return await making;
    },
    readStatic: async () => undefined,
  };
}
