/** Answers the main thread's calls from the tree, in the filesystem thread. */

import { FsError } from "../errno.ts";
import { NO_TICKET } from "../rpc/generation.ts";
import type { Added, Adder, NewEntry } from "../rpc/growth.ts";
import type {
  CommandOutcome,
  FileMetadata,
  FromFilesystem,
  InParts,
  Methods,
  MountCommand,
  PublishedName,
  RegenerateOptions,
  StaticsRequest,
} from "../rpc/messages.ts";
import { packList } from "../rpc/packed-list.ts";
import type { SaveEvent } from "../rpc/programs.ts";
import { SnapshotSaver } from "../snapshot/write/save.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import { components, toBytes } from "../tree/path.ts";
import { countChanges } from "./changes.ts";
import type { FsContext } from "./context.ts";
import { listGenerated, requestsFor, setMetadata, versionOf } from "./control/generated-files.ts";
import { listAll, writeFile } from "./control/unmounted.ts";
import { addToMount } from "./lazy/added-entries.ts";
import { nextMoment } from "./lazy/freshness.ts";
import { findPendingFiles, layoutOf } from "./lazy/request.ts";
import type { View } from "./permissions/view.ts";
import { listVisible, readStatic, resolveDirectory, resolveFile, statVisible } from "./permissions/visible-tree.ts";
import type { Waiter } from "./waiting/attempt.ts";
import { SLICE_MS } from "./waiting/timers.ts";
import { packOutlineFor } from "./whole-tree.ts";

type RpcResult<K extends keyof Methods> = Awaited<ReturnType<Methods[K]>>;

/** The steps of a method that answers in parts: they yield the parts, or undefined, and return the value. */
type Steps<K extends "outlineSince" | "pending" | "generated"> =
  RpcResult<K> extends InParts<infer P, infer V> ? Generator<P | undefined, V> : never;

type Requester = Pick<Waiter, "requester">;

/**
 * What a method does: it returns its value or throws FsError, or it returns nothing and calls `done` or `fail` later.
 */
export class RpcHandlers {
  readonly #mount: FsContext;
  readonly #post: (message: FromFilesystem) => void;
  /** Files whose content the other thread has, since the epoch began. */
  #told = new WeakSet<RegularFile>();
  #epoch = 0;
  #limit = 0;
  /** The number of results of generators that were accepted. */
  answerCount = 0;
  readonly #savers = new Map<number, SnapshotSaver>();
  /** Texts of control files that the main thread sent. */
  readonly #published = new Map<PublishedName, string>();
  #usage: string | undefined;
  #nextSaver = 1;
  readonly #settling = new Map<number, () => void>();
  #nextSettling = 1;
  readonly #commands = new Map<number, (outcome: CommandOutcome) => void>();
  #nextCommand = 1;

  constructor(mount: FsContext, post: (message: FromFilesystem) => void) {
    this.#mount = mount;
    this.#post = post;
  }

  publish(name: PublishedName, text: string): void {
    this.#published.set(name, text);
    if (name === "usage.json") this.#usage = undefined;
  }

  getPublished(name: PublishedName): string {
    return this.#published.get(name) ?? "{}\n";
  }

  /** The content of usage.json, as JSON on one line. Kept, because each answer of a control file contains it. */
  get usage(): string {
    this.#usage ??= JSON.stringify(JSON.parse(this.getPublished("usage.json")));
    return this.#usage;
  }

  /** Calls back when the cost of everything cancelled so far is known. */
  settle(done: () => void): void {
    const id = this.#nextSettling++;
    this.#settling.set(id, done);
    this.#post({ type: "settle", id });
  }

  onSettled(id: number): void {
    const done = this.#settling.get(id);
    this.#settling.delete(id);
    done?.();
  }

  /** Passes a command on to the main thread and calls back with the outcome. Returns a number for `stop`. */
  command(command: MountCommand, done: (outcome: CommandOutcome) => void): number {
    const id = this.#nextCommand++;
    this.#commands.set(id, done);
    this.#post({ type: "command", id, command });
    return id;
  }

  /** The answer to a command is no longer needed, so the main thread may end it early. */
  stop(id: number): void {
    this.#post({ type: "stop", id });
  }

  onCompleted(id: number, outcome: CommandOutcome): void {
    const done = this.#commands.get(id);
    this.#commands.delete(id);
    done?.(outcome);
  }

  *outlineSince(known: number, viewer?: number): Steps<"outlineSince"> {
    const version = layoutOf(this.#mount);
    if (version !== known) yield* packOutlineFor(this.#mount, viewer);
    return { version };
  }

  /** Calls back at once, or after a generator has listed the directory. */
  list(
    path: string,
    ticket: number | undefined,
    done: (entries: RpcResult<"list">) => void,
    fail: (error: FsError) => void,
    viewer?: number,
  ): void {
    const requester = this.#requesterOf(ticket);
    const view = this.#mount.authors.viewFor(viewer);
    if (this.#waitForGenerator(path, view, requester, () => this.list(path, ticket, done, fail, viewer), fail)) return;
    const directory = resolveDirectory(this.#mount.tree, path, view);
    const answerListing = () => done(listVisible(directory, path, view));
    const waiter = { ...requester, done: answerListing, fail };
    if (!this.#mount.listings.open(directory, waiter)) answerListing();
  }

  stat(path: string, viewer?: number): RpcResult<"stat"> {
    return statVisible(this.#mount.tree, path, this.#mount.authors.viewFor(viewer));
  }

  /** Calls back at once, or after the file is generated. */
  read(
    path: string,
    ticket: number | undefined,
    done: (bytes: Uint8Array) => void,
    fail: (error: FsError) => void,
    viewer?: number,
  ): void {
    const requester = this.#requesterOf(ticket);
    const view = this.#mount.authors.viewFor(viewer);
    if (this.#waitForGenerator(path, view, requester, () => this.read(path, ticket, done, fail, viewer), fail)) return;
    const file = this.#resolveFile(path, view);
    const since = nextMoment();
    const failWithPath = (error: FsError) => fail(error.at(path));
    const readContent = () => {
      const reply = (current: RegularFile) => {
        // The viewer may have lost permission in the meantime.
        if (!view.mayRead(current)) return failWithPath(new FsError("EACCES", "permission denied"));
        const bytes = current.bytes();
        requester.requester?.used.note(path, bytes);
        done(bytes);
      };
      this.#mount.expiry.read(file, requester, since, reply, failWithPath);
    };
    if (!file.lazy) return readContent();
    this.#mount.pending.wait(file, { ...requester, done: readContent, fail: failWithPath });
  }

  /** Like `read`, for a caller that does not need the bytes. */
  make(path: string, _: undefined, done: (nothing: undefined) => void, fail: (e: FsError) => void): void {
    const file = this.#resolveFile(path);
    if (!file.lazy) return done(undefined);
    const failWithPath = (error: FsError) => fail(error.at(path));
    this.#mount.pending.wait(file, { done: () => done(undefined), fail: failWithPath });
  }

  listAll(): RpcResult<"listAll"> {
    return listAll(this.#mount);
  }

  writeFile(path: string, content: Uint8Array, writer: Adder): void {
    this.answerCount++;
    writeFile(this.#mount, { path, content, writer }, (named) => this.#resolveFile(named));
  }

  regenerate(path: string, options: RegenerateOptions, done: (nothing: undefined) => void, fail: (e: FsError) => void) {
    const { prompt, force = false } = options;
    const waiter = { done: () => done(undefined), fail: (error: FsError) => fail(error.at(path)) };
    this.#mount.regen.generate(this.#resolveFile(path), { prompt, force }, waiter);
  }

  readStatic(path: string, limit: number, viewer?: number): RpcResult<"readStatic"> {
    return readStatic(this.#resolveFile(path, this.#mount.authors.viewFor(viewer)), limit);
  }

  check(): RpcResult<"check"> {
    const { tree, nodes, handles } = this.#mount;
    tree.checkInvariants();
    const named = new Set<Inode>();
    for (const { inode } of tree.walk()) named.add(inode);
    return { nodes: nodes.size, handles: handles.size, named: named.size, inodes: tree.space.inodes };
  }

  revision(): RpcResult<"revision"> {
    const { handles } = this.#mount;
    return { count: countChanges(this.#mount.session().counts) + this.answerCount, writing: handles.writing };
  }

  readStatics({ paths, limit, epoch, viewer }: StaticsRequest): RpcResult<"readStatics"> {
    if (viewer !== undefined) {
      const view = this.#mount.authors.viewFor(viewer);
      return paths.map((path) => {
        const file = this.#findStatic(path, view);
        return file === undefined ? { ino: 0 } : answerStatic(file, limit);
      });
    }
    if (epoch !== this.#epoch || limit !== this.#limit) this.#told = new WeakSet();
    this.#epoch = epoch;
    this.#limit = limit;
    return paths.map((path) => {
      const file = this.#findStatic(path);
      if (file === undefined) return { ino: 0 };
      if (this.#told.has(file)) return { ino: file.ino };
      this.#told.add(file);
      return answerStatic(file, limit);
    });
  }

  /** Marks the other thread's copy of the content as out of date. */
  invalidateContent(file: RegularFile): void {
    this.#told.delete(file);
  }

  #findStatic(path: string, view?: View): RegularFile | undefined {
    try {
      const file = this.#resolveFile(path, view);
      return file.state === "static" ? file : undefined;
    } catch (error) {
      if (error instanceof FsError) return undefined;
      throw error;
    }
  }

  pending(): Steps<"pending"> {
    return packList(findPendingFiles(this.#mount));
  }

  add(entries: readonly NewEntry[], adder: Adder): Added {
    this.answerCount++;
    return addToMount(this.#mount, entries, adder);
  }

  version(): RpcResult<"version"> {
    return versionOf(this.#mount);
  }

  generated(): Steps<"generated"> {
    return packList(listGenerated(this.#mount));
  }

  requestsFor(paths: readonly string[]): RpcResult<"requestsFor"> {
    return requestsFor(this.#mount, paths);
  }

  setMetadata(files: readonly FileMetadata[]): void {
    setMetadata(this.#mount, files);
    // What is saved of them has changed.
    this.answerCount++;
  }

  noteSave(event: SaveEvent): void {
    this.#mount.programs.noteSave(event);
  }

  /** Starts a snapshot; `beforeChange` reports every change to it until it ends. */
  beginSnapshot(times: boolean): SnapshotSaver {
    const saver = new SnapshotSaver(this.#mount.tree, { times }, this.#mount.passthrough.writable);
    this.#savers.set(this.#nextSaver++, saver);
    return saver;
  }

  saveBegin(times: boolean): number {
    this.beginSnapshot(times);
    return this.#nextSaver - 1;
  }

  saveNext(id: number): Uint8Array | undefined {
    const saver = this.#savers.get(id);
    if (saver === undefined) throw new FsError("EBADF", `no snapshot ${id} is being saved`);
    return saver.next({ milliseconds: SLICE_MS });
  }

  saveEnd(id: number): void {
    this.#savers.get(id)?.[Symbol.dispose]();
    this.#savers.delete(id);
  }

  endSnapshot(saver: SnapshotSaver): void {
    for (const [id, other] of this.#savers) if (other === saver) this.saveEnd(id);
  }

  beforeChange(file: RegularFile, offset?: number, length?: number): void {
    for (const saver of this.#savers.values()) saver.beforeChange(file, offset, length);
  }

  isBeingSaved(file: RegularFile): boolean {
    return this.#savers.values().some((saver) => saver.needs(file));
  }

  beforeExchange(one: RegularFile, other: RegularFile): void {
    for (const saver of this.#savers.values()) saver.beforeExchange(one, other);
  }

  /**
   * Returns true if a generator must be asked first: to list a directory on the path, or whether a file exists. It is
   * then asked, and `again` is called when it has answered.
   */
  #waitForGenerator(
    path: string,
    view: View,
    requester: Requester,
    again: () => void,
    fail: (error: FsError) => void,
  ): boolean {
    const { tree, listings, onDemandFiles } = this.#mount;
    const waiter = {
      ...requester,
      fail,
      done() {
        try {
          again();
        } catch (error) {
          fail(FsError.from(error));
        }
      },
    };
    let directory = tree.root;
    for (const name of components(toBytes(path))) {
      // A user who may not search the directory gets no generator asked about it either.
      if (!view.maySearch(directory)) return false;
      const there = directory.get(name)?.inode;
      if (there?.kind === "directory") directory = there;
      // The tree follows symlinks.
      if (there !== undefined && there.kind !== "directory") return false;
      if (there !== undefined) continue;
      if (listings.lists(directory) && !listings.isListed(directory)) return listings.open(directory, waiter);
      return onDemandFiles.wait(directory, name, waiter);
    }
    return false;
  }

  /** The generation on whose behalf a call is made. Throws EINTR if that generation has ended. */
  #requesterOf(ticket: number | undefined): Requester {
    if (ticket === undefined || ticket === NO_TICKET) return {};
    const requester = this.#mount.waiters.get(ticket);
    if (requester === undefined) throw new FsError("EINTR", "the generation that asked for it has ended");
    return { requester };
  }

  #resolveFile(path: string, view = this.#mount.authors.viewFor(undefined)): RegularFile {
    return resolveFile(this.#mount.tree, path, view);
  }
}

function answerStatic(file: RegularFile, limit: number): RpcResult<"readStatics">[number] {
  const bytes = readStatic(file, limit);
  return bytes === undefined ? { ino: 0 } : { ino: file.ino, bytes };
}
