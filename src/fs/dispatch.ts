/** All operations of a mounted tree, put together: the session dispatches to this. */
import { DEPENDS } from "../attributes.ts";
import { ERRNO, type FsError } from "../errno.ts";
import * as abi from "../fuse/abi.ts";
import type { Filesystem } from "../fuse/ops.ts";
import type { Session } from "../fuse/session.ts";
import { readThreadSignals, type ThreadSignals } from "../procfs.ts";
import type { NamedFiles } from "../rpc/generation.ts";
import type { FromFilesystem } from "../rpc/messages.ts";
import type { ProgramSettings } from "../rpc/programs.ts";
import type { Inode, Owner } from "../tree/inode.ts";
import { isAcl } from "../tree/permissions/acl.ts";
import type { Tree } from "../tree/tree.ts";
import { Dcache } from "./coherence/dcache.ts";
import { Passthrough } from "./coherence/passthrough.ts";
import { UnnamedInodes } from "./coherence/unnamed-inodes.ts";
import { Writeback } from "./coherence/writeback.ts";
import type { FsContext } from "./context.ts";
import { ControlDirectory, type ControlFiles } from "./control/directory.ts";
import { FailedRenewals } from "./failed-renewals.ts";
import { Handles } from "./handles.ts";
import { Expiry } from "./lazy/expiry.ts";
import { Listings, listingOperations } from "./lazy/listings.ts";
import { OnDemandFiles } from "./lazy/on-demand-files.ts";
import { Pending } from "./lazy/pending.ts";
import { Regeneration } from "./lazy/regenerate.ts";
import { InodeReplacement } from "./lazy/replace-inode.ts";
import { Revalidation } from "./lazy/revalidate.ts";
import { RuleEntries } from "./lazy/rule-entries.ts";
import { Nodes } from "./nodes.ts";
import { attributeOperations, CLAIMED_SIZE } from "./ops/attributes.ts";
import { CopyUps } from "./ops/copy-up.ts";
import { directoryOperations } from "./ops/directories.ts";
import { fileOperations } from "./ops/files.ts";
import { nameOperations } from "./ops/names.ts";
import { xattrOperations } from "./ops/xattrs.ts";
import { Authors } from "./permissions/authors.ts";
import type { ProgramSource } from "./programs/callers.ts";
import { observe } from "./programs/observe.ts";
import { Programs } from "./programs/programs.ts";
import { StatReaders } from "./programs/stat-readers.ts";
import { RpcHandlers } from "./rpc-handlers.ts";
import { Interrupts } from "./waiting/interrupts.ts";
import { PostponedRequests } from "./waiting/postponed.ts";
import { Timers } from "./waiting/timers.ts";
import { Waiters } from "./waiting/waiters.ts";

/** Content up to this size is sent to the kernel whole when it is generated; of larger content, only the end is. */
const STORE_WHOLE = 1 << 20;
/** The minor version of the protocol up to Linux 5.9. */
const LINUX_5_6 = 31;

export interface ServedTree {
  readonly mount: FsContext;
  readonly handlers: RpcHandlers;
  readonly operations: Filesystem;
  readonly timers: Timers;
  /** Handles a signal to the thread that sent a request. Returns false if the request does not wait here. */
  interrupt(unique: number, thread: number): boolean;
  /** Answers a waiting request with an error, because it may not wait longer. What it waits for is still generated. */
  expire(unique: number, error: FsError): void;
}

export interface ServeTreeOptions {
  readonly tree: Tree;
  readonly post: (message: FromFilesystem) => void;
  /** Runs the work and sends the messages posted during it as one batch. Default: runs the work only. */
  readonly batchMessages?: (work: () => void) => void;
  /** The files in `.llmfs`; absent: no control surface. */
  readonly control?: (mount: FsContext, handlers: RpcHandlers) => ControlFiles;
  readonly claimedSize?: number;
  readonly programs?: ProgramSettings;
  /** Where programs are looked up. Default: /proc. */
  readonly processes?: ProgramSource;
  /** Default 0o022. */
  readonly umask?: number;
  /** The user who mounted. Default: the owner of the root directory. */
  readonly owner?: Owner;
  /** The user who mounted, if other users can enter the mount. */
  readonly sharedBy?: number;
  /** See FsCore.withGenerationClock. Default: just does the work. */
  readonly withGenerationClock?: <T>(work: () => T) => T;
  /** Whether generators list directories. */
  readonly listing?: boolean;
  /** Files that generators create when their names are looked up. */
  readonly named?: readonly NamedFiles[];
  /** Distinguishes the file handles of this mount from those of other mounts. Default 0. */
  readonly generation?: number;
  /** Returns milliseconds of a clock that never goes back. */
  readonly monotonic?: () => number;
  /** Returns the signals of a thread. Default: what /proc reports. */
  readonly signals?: (thread: number) => ThreadSignals | undefined;
  /** Whether the kernel is served. Before that it knows nothing of the tree, not even of the root. Default: it is. */
  readonly isServed?: () => boolean;
  /** Whether expired content is regenerated. Default: true. */
  readonly renewing?: boolean;
}

export function serveTree(options: ServeTreeOptions, session: () => Session): ServedTree {
  const { tree } = options;
  const timers = new Timers(options.monotonic);
  const waiters = new Waiters(() => mount, options.post, timers);
  const revalidation = new Revalidation();
  const pending = new Pending(() => mount, waiters, options.post);
  const expiry = new Expiry(() => mount, waiters, options.post, options.renewing ?? true);
  const regen = new Regeneration(() => mount, waiters, options.post);
  /** Inodes that the kernel did not know yet when it was notified about a change. */
  const untold = new WeakSet<Inode>();
  const mount: FsContext = {
    tree,
    failedRenewals: new FailedRenewals(),
    nodes: new Nodes(tree, options.generation ?? 0),
    dcache: new Dcache(() => mount),
    copyUps: new CopyUps(revalidation, () => (session().granted?.minor ?? 0) > LINUX_5_6),
    handles: new Handles(tree, revalidation),
    revalidation,
    authors: new Authors(options.sharedBy),
    statReaders: new StatReaders(options.programs?.statGenerates ?? [], options.processes),
    programs: new Programs({
      tree,
      settings: options.programs ?? { statGenerates: [] },
      report: (event) => options.post({ type: "event", event }),
      warn: (text) => options.post({ type: "log", level: "warn", tag: "fs", text }),
      ...(options.processes && { source: options.processes }),
    }),
    waiters,
    pending,
    expiry,
    regen,
    replacement: new InodeReplacement(() => mount),
    listings: new Listings(() => mount, waiters, options.post, options.listing ?? false),
    onDemandFiles: new OnDemandFiles(() => mount, waiters, options.post, options.named ?? []),
    ruleEntries: new RuleEntries(() => mount),
    passthrough: new Passthrough({
      log: (text) => options.post({ type: "log", level: "info", tag: "fs", text }),
      isBeingSaved: (file) => handlers.isBeingSaved(file),
      prepareStore: (enough) => tree.space.prepareStore(enough),
      beforeWrites: (file) => handlers.beforeChange(file),
      onWrite(file, taken) {
        mount.userWrites.count++;
        mount.onContentChange(file);
        if (taken) mount.definitions++;
      },
    }),
    unnamed: new UnnamedInodes(tree.space),
    postponed: new PostponedRequests({
      tree,
      session,
      get unnamed() {
        return mount.unnamed;
      },
    }),
    writeback: new Writeback(session),
    timers,
    get control() {
      return control;
    },
    definitions: 0,
    writes: 0,
    userWrites: { count: 0, saved: 0 },
    hasAcls: surveyXattrs(tree),
    claimedSize: options.claimedSize ?? CLAIMED_SIZE,
    umask: options.umask ?? 0o022,
    withGenerationClock: options.withGenerationClock ?? ((work) => work()),
    warn: (text) => options.post({ type: "log", level: "warn", tag: "fs", text }),
    session,
    batchMessages: options.batchMessages ?? ((work) => work()),
    beforeChange(file, offset, length) {
      handlers.beforeChange(file, offset, length);
    },
    beforeExchange(one, other) {
      handlers.beforeExchange(one, other);
    },
    onContentChange(file) {
      this.writes++;
      handlers.invalidateContent(file);
    },
    onWrite(file) {
      this.userWrites.count++;
      this.onContentChange(file);
      expiry.claim(file);
      ruleEntries.claim(file);
      if (file.becomeTheirs()) this.definitions++;
      if (!file.becomeStatic()) return;
      this.definitions++;
      this.invalidate(file, false);
      pending.onOverwrite(file);
    },
    claimUnseenWrites(file) {
      if (!file.lazy || file.size === 0) return false;
      this.onWrite(file);
      return true;
    },
    invalidate(inode, pages) {
      if (inode.lookups === 0 || options.isServed?.() === false) return;
      // A negative offset stands for the attributes alone.
      const body = { ino: inode.ino, off: pages ? 0 : -1, len: 0 };
      const result = session().notify(abi.FUSE_NOTIFY_INVAL_INODE, abi.notifyInvalInodeOut, body);
      if (result === -ERRNO.ENOENT) untold.add(inode);
    },
    repeatInvalidation(file) {
      if (!untold.delete(file)) return;
      this.invalidate(file, true);
      this.store(file);
    },
    store(file) {
      if (file.lookups === 0) return;
      this.copyUps.onContent(file);
      this.invalidate(file, false);
      // A store raises the size that the kernel assumes, and never lowers it. It also fills pages, so that even a
      // reader that asks only for bytes (sendfile) finds them.
      const from = file.size <= STORE_WHOLE ? 0 : file.size - 1;
      const data = new Uint8Array(file.size - from);
      if (data.length === 0) return;
      file.read(from, data);
      const body = { nodeid: file.ino, offset: from, size: data.length };
      session().notify(abi.FUSE_NOTIFY_STORE, abi.notifyStoreOut, body, data);
    },
  };
  const handlers = new RpcHandlers(mount, options.post);
  const control: ControlDirectory = new ControlDirectory(tree, options.control?.(mount, handlers), options.owner);
  const { dcache, ruleEntries, unnamed, postponed } = mount;
  tree.onNameChange = (directory, name, before) => {
    dcache.onNameChange(directory, name, before);
    unnamed.onNameChange(directory, name, before);
    if (before === undefined || before.nlink > 0) return;
    ruleEntries.onUnnamed(before);
    if (before.kind === "file") regen.discard(before);
  };
  tree.onDispose = (inode) => {
    ruleEntries.onDispose(inode);
    unnamed.onDispose(inode);
  };
  const names = nameOperations(mount);
  const files = fileOperations(mount);
  const observed: Filesystem = observe(mount, {
    ...names,
    ...attributeOperations(mount),
    ...directoryOperations(mount),
    ...listingOperations(mount),
    ...files,
    ...xattrOperations(mount),
    lookup: dcache.wrapLookup(names.lookup),
    mkdir: dcache.wrapNameChange(names.mkdir),
    mknod: dcache.wrapNameChange(names.mknod),
    symlink: dcache.wrapNameChange(names.symlink),
    link: dcache.wrapNameChange(names.link),
    unlink: dcache.wrapNameChange(names.unlink),
    rmdir: dcache.wrapNameChange(names.rmdir),
    rename: dcache.wrapNameChange(names.rename),
    rename2: dcache.wrapNameChange(names.rename2),
    create: dcache.wrapNameChange(files.create),
  });
  const operations = postponed.wrap(observed);
  const interrupts = new Interrupts({
    isWaiting: (unique) => session().isParked(unique),
    end: (unique) =>
      waiters.leave(unique) ||
      control.leave(unique) ||
      mount.writeback.isWaiting(unique) ||
      postponed.isWaiting(unique),
    signals: options.signals ?? readThreadSignals,
    timers,
  });
  const interrupt = (unique: number, thread: number) => interrupts.handleInterrupt(unique, thread);
  const expire = (unique: number, error: FsError) => {
    if (!waiters.expire(unique, error) && !control.leave(unique)) session().fail(unique, error);
  };
  return { mount, handlers, operations, timers, interrupt, expire };
}

/** Notes what later changes of the tree need to know. Returns whether something has an access control list. */
function surveyXattrs(tree: Tree): boolean {
  let hasAcls = false;
  for (const inode of tree.inodes()) {
    const { xattrs } = inode;
    if (xattrs === undefined) continue;
    hasAcls ||= xattrs.keys().some(isAcl);
    const depends = xattrs.get(DEPENDS);
    if (depends !== undefined) tree.movedNames.noteReferences(inode, depends);
  }
  return hasAcls;
}
