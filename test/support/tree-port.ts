/** A tree as the engine sees it, from a plain object, instead of the filesystem thread. */
import { FsError } from "../../src/errno.ts";
import type { GenerationRequest } from "../../src/rpc/generation.ts";
import type { FileInfo, TreeEntry, TreePort } from "../../src/rpc/tree-port.ts";

export interface PendingFile {
  readonly pending: string;
  readonly prompts?: readonly string[];
  readonly state?: "pending" | "generating" | "ready" | "failed";
  readonly xattrs?: Readonly<Record<string, string>>;
}

/** A directory with its own xattrs. */
export interface Folder {
  readonly folder: Readonly<Record<string, string>>;
}

/** Path → text of a static file, a pending file with its description, a symlink's target, or null for a directory. */
export type PlainTree = Readonly<
  Record<string, string | Uint8Array | PendingFile | Folder | { readonly link: string } | null>
>;

export interface PlainPort extends TreePort {
  /** Names of the calls, oldest first. */
  readonly calls: string[];
  request(path: string, more?: Partial<GenerationRequest>): GenerationRequest;
}

/** `read` answers for files that are not static; by default they cannot be read. */
export function treePort(plain: PlainTree, read?: TreePort["read"]): PlainPort {
  const tree = new Map(Object.entries(plain));
  for (const path of [...tree.keys()]) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      if (!tree.has(path.slice(0, end))) tree.set(path.slice(0, end), null);
    }
  }
  const calls: string[] = [];
  const paths = [...tree.keys()].sort();

  function info(path: string): FileInfo {
    const node = tree.get(path);
    if (node === undefined) throw new FsError("ENOENT", `${path}: no such file`);
    const owner = { mode: 0o644, uid: 0, gid: 0, xattrs: new Map<string, string>() };
    if (node === null) return { path, type: "directory", ...owner };
    if (typeof node === "string" || node instanceof Uint8Array) {
      return { path, type: "file", state: "static", size: node.length, ...owner };
    }
    if ("folder" in node) return { path, type: "directory", ...owner, xattrs: new Map(Object.entries(node.folder)) };
    if ("link" in node) return { path, type: "symlink", target: node.link, ...owner };
    const xattrs = new Map(Object.entries(node.xattrs ?? {}));
    return { path, type: "file", state: node.state ?? "pending", description: node.pending, ...owner, xattrs };
  }

  return {
    calls,
    request(path, more = {}) {
      const node = tree.get(path);
      const prompts = typeof node === "object" && node !== null && "pending" in node ? (node.prompts ?? []) : [];
      const attempt = { ticket: 1, ino: paths.indexOf(path) + 2, path, pause: 0 };
      return { ...attempt, generator: "llm", file: info(path), prompts, ...more };
    },
    async outline() {
      calls.push("outline");
      return paths.map((path): TreeEntry => info(path));
    },
    async list(path) {
      calls.push(`list ${path}`);
      return paths.filter((one) => one.startsWith(`${path}/`) && !one.slice(path.length + 1).includes("/")).map(info);
    },
    async stat(path) {
      calls.push(`stat ${path}`);
      return info(path);
    },
    async read(path, requester) {
      calls.push(`read ${path}`);
      const node = tree.get(path);
      if (typeof node === "string") return new TextEncoder().encode(node);
      if (node instanceof Uint8Array) return node;
      if (read === undefined) throw new FsError("EIO", `${path} cannot be read`);
      return read(path, requester);
    },
    async readStatic(path, limit) {
      calls.push(`readStatic ${path}`);
      const node = tree.get(path);
      if (node === undefined) throw new FsError("ENOENT", `${path}: no such file`);
      if (typeof node === "string") return new TextEncoder().encode(node).subarray(0, limit);
      return node instanceof Uint8Array ? node.subarray(0, limit) : undefined;
    },
  };
}
