/**
 * A tree, its operations, and the kernel in memory: all of llmfs's filesystem thread except the thread itself.
 *
 * When disposed of at the end of a test (`using`), it releases everything that the kernel holds and checks that nothing
 * without a name is left: no inode, no page, no handle.
 */
import { type ErrnoName, FsError } from "../../src/errno.ts";
import { CAPABILITIES } from "../../src/fs/coherence/caching.ts";
import type { FsContext } from "../../src/fs/context.ts";
import type { ControlFiles } from "../../src/fs/control/directory.ts";
import { serveTree } from "../../src/fs/dispatch.ts";
import type { ProgramSource } from "../../src/fs/programs/callers.ts";
import type { RpcHandlers } from "../../src/fs/rpc-handlers.ts";
import type { Timers } from "../../src/fs/waiting/timers.ts";
import { FUSE_ROOT_ID } from "../../src/fuse/abi.ts";
import type { ThreadSignals } from "../../src/procfs.ts";
import type { GenerationRequest, NamedFiles, Stage } from "../../src/rpc/generation.ts";
import type { FromFilesystem, PendingFile } from "../../src/rpc/messages.ts";
import { unpackList } from "../../src/rpc/packed-list.ts";
import { unpackOutline } from "../../src/rpc/packed-outline.ts";
import type { ProgramSettings } from "../../src/rpc/programs.ts";
import type { TreeEntry } from "../../src/rpc/tree-port.ts";
import { PAGE } from "../../src/tree/content/store.ts";
import type { Directory } from "../../src/tree/directory.ts";
import type { RegularFile } from "../../src/tree/file.ts";
import type { Clock, Inode } from "../../src/tree/inode.ts";
import { components } from "../../src/tree/path.ts";
import { Space } from "../../src/tree/space.ts";
import { Tree } from "../../src/tree/tree.ts";
import { setXattr } from "../../src/tree/xattrs.ts";
import { Kernel } from "./kernel.ts";

export const ROOT = FUSE_ROOT_ID;

export interface ServedOptions {
  /** The maximum number of bytes for contents. */
  readonly size?: number;
  readonly inodes?: number;
  readonly control?: (mount: FsContext, answers: RpcHandlers) => ControlFiles;
  readonly debug?: boolean;
  /** Whether generators list directories. */
  readonly listing?: boolean;
  readonly named?: readonly NamedFiles[];
  readonly generation?: number;
  /** The user who mounted, if other users can enter the mount. */
  readonly sharedBy?: number;
  readonly umask?: number;
  readonly programs?: ProgramSettings;
  /** What /proc reports about programs. */
  readonly processes?: ProgramSource;
}

/** The clock of the tests: it stands still until it is set. */
class TestClock {
  seconds = 1_700_000_000;
  nanoseconds = 5;

  readonly read: Clock = () => ({ seconds: this.seconds, nanoseconds: this.nanoseconds });

  tick(): void {
    this.seconds += 10;
    this.nanoseconds += 1;
  }
}

export function served(options: ServedOptions = {}): ServedTree {
  return new ServedTree(options);
}

export class ServedTree implements Disposable {
  readonly clock = new TestClock();
  readonly tree: Tree;
  readonly kernel: Kernel;
  readonly mount: FsContext;
  readonly timers: Timers;
  /** What /proc reports about a thread's signals. None of the threads here exists. */
  readonly signals = new Map<number, ThreadSignals>();
  /** Called whenever the signals are read. */
  lookAtSignals: () => void = () => {};
  #milliseconds = 0;
  readonly answers: RpcHandlers;
  /** Messages from the filesystem to the main thread. */
  readonly posted: FromFilesystem[] = [];

  constructor(options: ServedOptions) {
    const space = new Space({
      ...(options.size === undefined ? {} : { bytes: options.size }),
      ...(options.inodes === undefined ? {} : { inodes: options.inodes }),
    });
    this.tree = new Tree({ clock: this.clock.read, space });
    const {
      mount,
      handlers: answers,
      operations,
      timers,
      interrupt: onInterrupt,
    } = serveTree(
      {
        tree: this.tree,
        post: (message) => this.posted.push(message),
        monotonic: () => this.#milliseconds,
        signals: (thread) => {
          this.lookAtSignals();
          return this.signals.get(thread);
        },
        ...(options.control === undefined ? {} : { control: options.control }),
        ...(options.listing === undefined ? {} : { listing: options.listing }),
        ...(options.named === undefined ? {} : { named: options.named }),
        ...(options.generation === undefined ? {} : { generation: options.generation }),
        ...(options.umask === undefined ? {} : { umask: options.umask }),
        ...(options.programs === undefined ? {} : { programs: options.programs }),
        ...(options.processes === undefined ? {} : { processes: options.processes }),
        ...(options.sharedBy === undefined
          ? {}
          : { sharedBy: options.sharedBy, owner: { uid: options.sharedBy, gid: options.sharedBy } }),
      },
      () => this.kernel.session,
    );
    this.mount = mount;
    this.answers = answers;
    this.timers = timers;
    this.kernel = new Kernel(operations, {
      flags: CAPABILITIES,
      onInterrupt,
      debug: options.debug ?? false,
    });
    this.kernel.init({});
  }

  // ---------------------------------------------------------------------------------------------------------------
  // The tree, from our side
  // ---------------------------------------------------------------------------------------------------------------

  /** Creates a file with this content, and missing parent directories. */
  file(path: string, content: string | Uint8Array = ""): RegularFile {
    const { directory, name } = this.#place(path);
    const file = this.tree.createFile(directory, name, 0o644, { uid: 0, gid: 0 });
    const bytes = Buffer.from(content as Uint8Array);
    if (bytes.length > 0) file.write(0, bytes);
    return file;
  }

  /** Creates a pending file. */
  pending(path: string, xattrs: Readonly<Record<string, string>> = {}): RegularFile {
    const file = this.file(path);
    file.state = "pending";
    for (const [name, value] of Object.entries(xattrs)) setXattr(file, name, Buffer.from(value));
    return file;
  }

  directory(path: string): Directory {
    const { directory, name } = this.#place(path);
    return this.tree.mkdir(directory, name, 0o755, { uid: 0, gid: 0 });
  }

  #place(path: string): { directory: Directory; name: string } {
    const parts = components(path);
    const name = parts.pop() ?? "";
    let directory: Directory = this.tree.root;
    for (const part of parts) {
      const there: Inode | undefined = directory.get(part)?.inode;
      if (there !== undefined && there.kind !== "directory") throw new Error(`${path}: ${part} is not a directory`);
      directory = there ?? this.tree.mkdir(directory, part, 0o755, { uid: 0, gid: 0 });
    }
    return { directory, name };
  }

  // ---------------------------------------------------------------------------------------------------------------
  // The main thread's side
  // ---------------------------------------------------------------------------------------------------------------

  /** All generation requests, oldest first. */
  get requests(): GenerationRequest[] {
    return this.posted.flatMap((message) => (message.type === "generate" ? [message.request] : []));
  }

  /** What the main thread gets as the outline, as this user may see it. */
  outline(viewer?: number): readonly TreeEntry[] {
    return [...this.answers.outlineSince(-1, viewer)].flatMap((part) =>
      part === undefined ? [] : unpackOutline(part),
    );
  }

  pendingFiles(): readonly PendingFile[] {
    return unpackList({ parts: [...this.answers.pending()].filter((part) => part !== undefined) });
  }

  /** The paths of all files with generated content. */
  generated(): readonly string[] {
    return unpackList({ parts: [...this.answers.generated()].filter((part) => part !== undefined) });
  }

  /** Tickets that were cancelled. */
  get cancelled(): number[] {
    return this.posted.flatMap((message) => (message.type === "cancel" ? [message.ticket] : []));
  }

  /** Lets time pass for the filesystem's timers. */
  pass(milliseconds: number): void {
    const until = this.#milliseconds + milliseconds;
    for (let { due } = this.timers; due !== undefined && this.#milliseconds + due <= until; { due } = this.timers) {
      this.#milliseconds += due;
      this.timers.run();
    }
    this.#milliseconds = until;
  }

  /** Lets time pass without running timers. */
  elapse(milliseconds: number): void {
    this.#milliseconds += milliseconds;
  }

  /** The generator of the last request, or of the given one, reports a stage. */
  stage(stage: Stage, ticket = this.ticket): void {
    this.mount.waiters.setStage(ticket, stage);
  }

  /** The ticket of the last request. */
  get ticket(): number {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error("nothing was asked to be generated");
    return last.ticket;
  }

  /** A generator's answer to the last request, or to the given one. */
  content(content: string | Uint8Array, ticket = this.ticket, metadata: Readonly<Record<string, string>> = {}): void {
    this.mount.waiters.takeContent(ticket, {
      bytes: Buffer.from(content as Uint8Array),
      metadata: new Map(Object.entries(metadata)),
    });
  }

  failed(code: ErrnoName, message: string = code, ticket = this.ticket): void {
    this.mount.waiters.takeFailure(ticket, new FsError(code, message));
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Programs, by the kernel
  // ---------------------------------------------------------------------------------------------------------------

  /** The nodeid at a path, looked up as programs do. */
  node(path: string): number {
    return this.kernel.walk(path).nodeid;
  }

  /** An open that must not wait. */
  open(path: string, flags = 0): { readonly nodeid: number; readonly fh: number } {
    const nodeid = this.node(path);
    return { nodeid, fh: this.kernel.call("open", nodeid, { flags }).fh };
  }

  /** What `cat` prints. */
  cat(path: string): string {
    const { nodeid, fh } = this.open(path);
    const bytes = this.kernel.readAll(nodeid, fh);
    this.kernel.release(nodeid, fh);
    return bytes.toString();
  }

  write(file: { readonly nodeid: number; readonly fh: number }, data: string | Uint8Array, offset = 0, flags = 1) {
    const bytes = Buffer.from(data as Uint8Array);
    const request = { fh: file.fh, offset, size: bytes.length, flags, data: bytes };
    return this.kernel.call("write", file.nodeid, request).size;
  }

  /** The names in a directory, sorted as by `ls -a`. */
  ls(path: string): string[] {
    const nodeid = path === "/" ? ROOT : this.node(path);
    const names = this.kernel.list(nodeid).map(({ name }) => name);
    return names.sort();
  }

  [Symbol.dispose](): void {
    this.kernel.check();
    this.mount.waiters.clear();
    this.mount.regen.clear();
    this.kernel.letGo();
    this.kernel.check();
    this.tree.checkInvariants();
    const named = new Set<Inode>();
    for (const { inode } of this.tree.walk()) named.add(inode);
    const pages = [...named].reduce((sum, inode) => sum + pagesOf(inode), 0);
    const { space } = this.tree;
    if (space.inodes !== named.size) throw new Error(`${space.inodes} inodes are left, ${named.size} have a name`);
    if (space.usedPages !== pages) throw new Error(`${space.usedPages} pages are taken, ${pages} are in files`);
    if (this.mount.handles.clear() !== 0) throw new Error("handles are left");
    if (this.mount.nodes.clear() !== 0) throw new Error("nodes are left");
    const bugs = this.kernel.log.filter((line) => line.startsWith("error"));
    if (bugs.length > 0) throw new Error(bugs.join("\n"));
  }
}

function pagesOf(inode: Inode): number {
  if (inode.kind === "file") return inode.allocated / PAGE;
  return inode.kind === "symlink" ? inode.pages : 0;
}
