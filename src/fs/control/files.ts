/** What `.llmfs` holds. */
import { printableLine } from "../../text/printable.ts";
import { RegularFile } from "../../tree/file.ts";
import { toText } from "../../tree/path.ts";
import type { Tree } from "../../tree/tree.ts";
import type { Mount } from "../context.ts";
import type { Answers } from "../rpc-handlers.ts";
import { Channel } from "./channel.ts";
import { type ControlFiles, produced, text } from "./directory.ts";

const README = `The control surface of this llmfs mount. Absent from listings, reachable by name.

README          this text
status.json     process, mountpoint, files by state, requests so far
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

Per file: getfattr -d -m user.llmfs FILE
`;

export interface StatusSource {
  readonly mountpoint: string;
  /** Requests of the kernel, by operation. */
  readonly counts: () => Record<string, number>;
}

export function controlFiles(mount: Mount, answers: Answers, source: StatusSource): ControlFiles {
  return {
    README: text(() => README),
    "status.json": text(() => `${JSON.stringify(status(mount, source), null, 2)}\n`),
    tree: text(() => outline(mount)),
    "pending.json": text(() => lines(answers.pending())),
    "usage.json": text(() => answers.published("usage.json")),
    "config.json": text(() => answers.published("config.json")),
    "snapshot.json": produced(() => {
      const saver = answers.beginSnapshot(false);
      return { next: () => saver.next(), close: () => answers.endSnapshot(saver) };
    }),
    control: { dialogue: (writes) => new Channel(mount, answers, writes) },
  };
}

/** A JSON list, one element a line. */
function lines(values: readonly unknown[]): string {
  if (values.length === 0) return "[]\n";
  return `[\n${values.map((value) => JSON.stringify(value)).join(",\n")}\n]\n`;
}

function status(mount: Mount, source: StatusSource) {
  const { space } = mount.tree;
  return {
    pid: process.pid,
    mountpoint: source.mountpoint,
    files: countStates(mount.tree),
    inodes: space.inodes,
    bytes: space.pages * 4096,
    generating: mount.pending.size,
    requests: source.counts(),
  };
}

/** One line a path: directories end in a slash, files that are not ordinary say so. */
function outline(mount: Mount): string {
  let lines = "";
  for (const { path, inode } of mount.tree.walk()) {
    if (path === "/") continue;
    const shown = printableLine(toText(path));
    if (inode.kind === "directory") lines += `${shown}/\n`;
    else if (inode.kind === "symlink") lines += `${shown} -> ${printableLine(toText(inode.target))}\n`;
    else if (inode.kind === "file" && inode.state !== "static") lines += `${shown} (${inode.state})\n`;
    else lines += `${shown}\n`;
  }
  return lines;
}

/** How many regular files are in each state. */
function countStates(tree: Tree): Record<string, number> {
  const counts: Record<string, number> = { static: 0, pending: 0, generating: 0, ready: 0, failed: 0 };
  const seen = new Set<RegularFile>();
  for (const { inode } of tree.walk()) {
    if (!(inode instanceof RegularFile) || seen.has(inode)) continue;
    if (inode.nlink > 1) seen.add(inode);
    counts[inode.state] = (counts[inode.state] ?? 0) + 1;
  }
  return counts;
}
