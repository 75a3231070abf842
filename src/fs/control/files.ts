/** What `.llmfs` holds. */
import { OURS } from "../../attributes.ts";
import { printableLine } from "../../text/printable.ts";
import { toText } from "../../tree/path.ts";
import type { Tree } from "../../tree/tree.ts";
import { type Walked, walkInSteps } from "../../tree/walk.ts";
import type { FsContext } from "../context.ts";
import { pendingFiles } from "../lazy/request.ts";
import type { RpcHandlers } from "../rpc-handlers.ts";
import { ControlChannel } from "./channel.ts";
import type { ControlFiles } from "./directory.ts";
import { SLICE_MS, serveLongText, serveStream, serveText } from "./produced.ts";

const README = `The control surface of this llmfs mount. Absent from listings, reachable by name.

README          this text
status.json     process, mountpoint, files by state, inodes and bytes in use, inodes that the kernel holds, requests
tree            every path, with the state of its content
pending.json    the files whose content is still to be made; 'llmfs warm' makes it
usage.json      what generating has cost so far, and the limits
config.json     the model, the recordings and the instructions that hold for this mount
snapshot.json   the tree as of the moment it is opened; 'llmfs save' copies it
control         takes requests to generate files, a line of JSON each, and answers them

A request and its answer: {"id": 1, "op": "make", "path": "/a.md"}
                          {"id": 1, "ok": true, "usage": {…}}  or  {"id": 1, "errno": "EIO", "message": "…", "usage": {…}}
make     generates a file that has no content
regen    generates another content; "prompt": the file's own from here on; "force": also where somebody wrote it
undo     brings the previous content back
save     saves the tree where --save says; the answer says in "saved" what came of it
stop     calls off what is under way; closing the file does, too

Per file: getfattr -d -m ${OURS.slice(0, -1)} FILE
`;

export interface StatusSource {
  readonly mountpoint: string;
  /** Requests of the kernel, by operation. */
  readonly counts: () => Record<string, number>;
}

export function controlFiles(mount: FsContext, handlers: RpcHandlers, source: StatusSource): ControlFiles {
  return {
    README: serveText(() => README),
    "status.json": serveText(() => `${JSON.stringify(describeStatus(mount, source), null, 2)}\n`),
    tree: serveLongText(mount, () => renderTree(mount.tree)),
    "pending.json": serveLongText(mount, () => formatList(pendingFiles(mount))),
    "usage.json": serveText(() => handlers.getPublished("usage.json")),
    "config.json": serveText(() => handlers.getPublished("config.json")),
    "snapshot.json": serveStream(mount, () => {
      const saver = handlers.beginSnapshot(false);
      return { next: () => saver.next({ milliseconds: SLICE_MS }), close: () => handlers.endSnapshot(saver) };
    }),
    control: { dialogue: (writes, waits) => new ControlChannel(mount, handlers, writes, waits) },
  };
}

/** A JSON list, one element a line. */
function* formatList(values: Iterable<unknown>): Generator<string | undefined> {
  let separator = "[\n";
  for (const value of values) {
    yield value === undefined ? undefined : `${separator}${JSON.stringify(value)}`;
    if (value !== undefined) separator = ",\n";
  }
  yield separator === "[\n" ? "[]\n" : "\n]\n";
}

/** Reports counts that are kept as the tree changes: the tree may be too large to look through for every request. */
function describeStatus(mount: FsContext, source: StatusSource) {
  const { space } = mount.tree;
  // What the kernel wrote without a request makes a file somebody's own.
  mount.passthrough.bringIn();
  return {
    pid: process.pid,
    mountpoint: source.mountpoint,
    files: space.files,
    inodes: space.usedInodes,
    bytes: space.usedBytes,
    kernelInodes: mount.nodes.size,
    generating: mount.pending.size,
    requests: source.counts(),
  };
}

/** One line a path: directories end in a slash, files that are not ordinary say so. */
function* renderTree(tree: Tree): Generator<string | undefined> {
  for (const at of walkInSteps(tree.root, "/")) yield at === undefined || at.path === "/" ? undefined : line(at);
}

function line({ path, inode }: Walked): string {
  const shown = printableLine(toText(path));
  if (inode.kind === "directory") return `${shown}/\n`;
  if (inode.kind === "symlink") return `${shown} -> ${printableLine(toText(inode.target))}\n`;
  if (inode.kind === "file" && inode.state !== "static") return `${shown} (${inode.state})\n`;
  return `${shown}\n`;
}
