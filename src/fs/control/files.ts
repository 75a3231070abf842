/** The files in `.llmfs`. */
import { CONTROL_NAME, OURS } from "../../attributes.ts";
import { printableLine } from "../../text/printable.ts";
import { toText } from "../../tree/path.ts";
import { type Walked, walkInSteps } from "../../tree/walk.ts";
import type { FsContext } from "../context.ts";
import { findPendingFiles } from "../lazy/request.ts";
import { findOutdated } from "../outdated.ts";
import type { RpcHandlers } from "../rpc-handlers.ts";
import { SLICE_MS } from "../waiting/timers.ts";
import { ControlChannel } from "./channel.ts";
import type { ControlFiles, ReadableFile } from "./directory.ts";
import { listEntries } from "./entries.ts";
import { serveLongText, serveStream, serveText } from "./produced.ts";

const README = `Control files of this llmfs mount. This directory is not listed, but can be opened by name.

README          this text
status.json     process, mountpoint, files by state, inodes and bytes used, inodes known to the kernel, requests,
                the store of recordings
tree            every path with the state of its content
tree.json       the same as JSON, with type, size, mode and generator
outdated.json   files that were made from others that have changed; write them again with 'llmfs warm --outdated'
pending.json    the files that are not generated yet; generate them with 'llmfs warm'
usage.json      what generating has cost so far, and the limits
config.json     the model, the recordings and the prompts of this mount
snapshot.json   the tree at the time of opening; 'llmfs save' copies this file
full-snapshot.json  the same with times; 'llmfs export' reads it
events          who opened and changed what, and what that caused, one JSON object per line; follow it with tail -f
control         accepts requests to generate files, one line of JSON each, and answers them

A request:  {"id": 1, "op": "make", "path": "/a.md"}
An answer:  {"id": 1, "ok": true, "usage": {…}}
            {"id": 1, "errno": "EIO", "message": "…", "usage": {…}}

make     generate a file that has no content
regen    generate new content; "prompt" also sets the file's prompt; "force" includes files written by hand
rewrite  write a generated file again from its content, as "instruction" says
update   regenerate the file if a file that it was made from has changed
undo     restore the previous content
save     save the tree to the file of --save; "saved" in the answer has the outcome
version  get a number that changes with the names and contents of files
diagnose ask the model which files made a check fail, from "failure"
allow    permit as much spending again as --confirm-over
freeze   record the content of all generated files, if "version" still holds
stop     cancel running requests; closing the file does the same

Attributes of a file: getfattr -d -m ${OURS.slice(0, -1)} FILE
`;

export interface StatusSource {
  readonly mountpoint: string;
  /** The number of kernel requests, by operation. */
  readonly counts: () => Record<string, number>;
}

export function controlFiles(mount: FsContext, handlers: RpcHandlers, source: StatusSource): ControlFiles {
  return {
    README: serveText(() => README),
    "status.json": serveLongText(mount, () => formatStatus(mount, handlers, source)),
    tree: serveLongText(mount, () => renderTree(mount)),
    "outdated.json": serveLongText(mount, () => listOutdated(mount)),
    "tree.json": serveLongText(mount, () => formatList(listEntries(mount))),
    "pending.json": serveLongText(mount, () => formatList(findPendingFiles(mount))),
    "usage.json": serveText(() => handlers.getPublished("usage.json")),
    "config.json": serveText(() => handlers.getPublished("config.json")),
    "snapshot.json": serveSnapshot(mount, handlers, "snapshot.json"),
    "full-snapshot.json": serveSnapshot(mount, handlers, FULL_SNAPSHOT),
    events: { follow: () => mount.programs.events.follow(), size: () => mount.programs.events.size },
    control: { dialogue: (writes, waits) => new ControlChannel(mount, handlers, writes, waits) },
  };
}

/** It includes times. */
const FULL_SNAPSHOT = "full-snapshot.json";

/** Reading the file to its end counts as saving the tree. */
function serveSnapshot(mount: FsContext, handlers: RpcHandlers, name: string): ReadableFile {
  return serveStream(mount, (opener) => {
    const { programs } = mount;
    const start = performance.now();
    mount.passthrough.bringIn();
    const writes = mount.userWrites.count;
    const saver = handlers.beginSnapshot(name === FULL_SNAPSHOT);
    return {
      next() {
        const piece = saver.next({ milliseconds: SLICE_MS });
        if (piece === undefined) {
          mount.userWrites.saved = writes;
          const who = opener === undefined ? {} : programs.describe(opener.pid, opener.uid);
          programs.noteSave({ path: `/${CONTROL_NAME}/${name}`, ...who, ms: Math.round(performance.now() - start) });
        }
        return piece;
      },
      close: () => handlers.endSnapshot(saver),
    };
  });
}

/** Formats a JSON list with one element a line. */
function* formatList(values: Iterable<unknown>): Generator<string | undefined> {
  let separator = "[\n";
  for (const value of values) {
    yield value === undefined ? undefined : `${separator}${JSON.stringify(value)}`;
    if (value !== undefined) separator = ",\n";
  }
  yield separator === "[\n" ? "[]\n" : "\n]\n";
}

function* formatStatus(mount: FsContext, handlers: RpcHandlers, source: StatusSource): Generator<string | undefined> {
  const outdated = yield* findOutdated(mount.tree);
  const failedRenewals = yield* mount.failedRenewals.count(mount.tree);
  const status = { ...describeStatus(mount, handlers, source), outdated: outdated.size, failedRenewals };
  yield `${JSON.stringify(status, null, 2)}\n`;
}

function* listOutdated({ tree, passthrough }: FsContext): Generator<string | undefined> {
  passthrough.bringIn();
  yield* formatList((yield* findOutdated(tree)).values());
}

/** Reports counters that are updated as the tree changes, because the tree may be too large to walk for every request. */
function describeStatus(mount: FsContext, handlers: RpcHandlers, source: StatusSource) {
  const { space } = mount.tree;
  // Writes that the kernel made by itself turn a generated file into a static one.
  mount.passthrough.bringIn();
  return {
    pid: process.pid,
    mountpoint: source.mountpoint,
    files: space.files,
    inodes: space.usedInodes,
    bytes: space.usedBytes,
    kernelInodes: mount.nodes.size,
    unsavedWrites: mount.userWrites.count > mount.userWrites.saved,
    generating: mount.pending.size,
    waiting: mount.waiters.listWaiting(MOST_WAITING),
    requests: source.counts(),
    // The status of the store, once it was asked for the first time.
    recordings: JSON.parse(handlers.getPublished("recordings")),
  };
}

/** More would take too long. */
const MOST_WAITING = 100;

/** One path per line. Directories end in a slash; files with generated or pending content show their state. */
function* renderTree({ tree, failedRenewals }: FsContext): Generator<string | undefined> {
  const outdated = yield* findOutdated(tree);
  for (const at of walkInSteps(tree.root, "/")) {
    if (at === undefined || at.path === "/") {
      yield undefined;
      continue;
    }
    const old = at.inode.kind === "file" && outdated.has(at.inode);
    const failed = failedRenewals.of(at.inode);
    yield line(at, [...(old ? ["outdated"] : []), ...(failed === undefined ? [] : [`${failed.what} failed`])]);
  }
}

function line({ path, inode }: Walked, notes: readonly string[]): string {
  const shown = printableLine(toText(path));
  if (inode.kind === "symlink") return `${shown} -> ${printableLine(toText(inode.target))}\n`;
  const state = inode.kind === "file" && inode.state !== "static" ? [inode.state] : [];
  const details = [...state, ...notes].join(", ");
  return `${shown}${inode.kind === "directory" ? "/" : ""}${details === "" ? "" : ` (${details})`}\n`;
}
