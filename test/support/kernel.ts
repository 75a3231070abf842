/**
 * A kernel in memory: the other end of a Session.
 *
 * Requests are built from the operation table (fuse/ops.ts) and passed on as messages; replies are checked as in
 * fs/fuse/dev.c:fuse_dev_do_write(), and decoded. Like the real kernel, it counts lookups, knows which handles are
 * open, sends FORGET and RELEASE, and remembers the notifications that it got. Anything that a kernel would reject or
 * misunderstand is a violation: the call in which it happened throws.
 */
import { ERRNO, type ErrnoName, errnoName, FsError } from "../../src/errno.ts";
import * as abi from "../../src/fuse/abi.ts";
import { type Filesystem, OPS, type OpName, type Request } from "../../src/fuse/ops.ts";
import { type Channel, Session, type SessionOptions } from "../../src/fuse/session.ts";
import { name, rest, type Struct, type StructValue, wordsOf } from "../../src/fuse/wire.ts";
import type { AsyncWrite, Extent } from "../../src/libc.ts";
import * as libc from "../../src/libc.ts";

/** The unique of an INTERRUPT is that of the request it names, with this bit set. */
export const FUSE_INT_REQ_BIT = 1;

export interface Caller {
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
}

/** The answer to a request. `data` is a copy of a "data" reply. */
export type Answer<K extends OpName> = (typeof OPS)[K]["reply"] extends "data"
  ? Buffer
  : (typeof OPS)[K]["reply"] extends "nothing" | "silence"
    ? undefined
    : StructValue<(typeof OPS)[K]["reply"]>;

export type Outcome<K extends OpName> = { readonly value: Answer<K> } | { readonly error: ErrnoName };

export type Notification =
  | { readonly code: "store"; readonly nodeid: number; readonly offset: number; readonly data: Buffer }
  | { readonly code: "inval inode"; readonly nodeid: number; readonly off: number; readonly len: number }
  | { readonly code: "inval entry"; readonly parent: number; readonly name: string }
  | { readonly code: "delete"; readonly parent: number; readonly child: number; readonly name: string };

/** A directory entry from READDIR or READDIRPLUS. */
export interface Dirent {
  readonly name: string;
  readonly ino: number;
  readonly off: number;
  readonly type: number;
  readonly entry?: StructValue<typeof abi.entryOut>;
}

interface InFlight {
  readonly op: OpName;
  readonly nodeid: number;
  readonly request: unknown;
}

export interface KernelOptions extends Partial<SessionOptions> {
  /** The minor version of the protocol that this kernel uses. */
  readonly minor?: number;
}

export class Kernel implements Channel {
  readonly session: Session;
  /** Every line that the session logged, with its level first. */
  readonly log: string[] = [];
  readonly notifications: Notification[] = [];
  /** The number of lookups that the kernel holds for each nodeid. The root is known without one. */
  readonly lookups = new Map<number, number>();
  /** Open handles and their nodes. */
  readonly handles = new Map<number, number>();
  /** Messages that other threads have to send but cannot at the moment; undefined: they are sent at once. */
  blocked: (() => void)[] | undefined;
  /** The other threads have started to send, and wait for a lock. */
  stuck = false;
  /** No other thread can be started at the moment. */
  threadless = false;
  readonly #inFlight = new Map<number, InFlight>();
  readonly #outcomes = new Map<number, Outcome<OpName>>();
  readonly #violations: string[] = [];
  readonly #buffer: Buffer;
  readonly #words: Uint32Array;
  #unique = 2;
  /** The number of interrupts that were answered with EAGAIN. */
  #again = 0;

  constructor(filesystem: Filesystem, options: KernelOptions = {}) {
    const maxWrite = options.maxWrite ?? 1 << 20;
    this.#buffer = Buffer.alloc(maxWrite + 4096);
    this.#words = wordsOf(this.#buffer);
    this.session = new Session(filesystem, this, {
      flags: 0,
      flags2: 0,
      onInterrupt: () => false,
      log: (level, text) => this.log.push(`${level}: ${text}`),
      ...options,
      maxWrite,
    });
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Requests
  // ---------------------------------------------------------------------------------------------------------------

  /**
   * Sends a request and returns the value of its reply. Throws FsError for an errno, and Error if there was no reply.
   */
  call<K extends OpName>(op: K, nodeid: number, request: Partial<Request<K>> = {}, caller: Caller = {}): Answer<K> {
    const unique = this.start(op, nodeid, request, caller);
    if (OPS[op].reply === "silence") return undefined as Answer<K>;
    const outcome = this.outcome<K>(unique);
    if (outcome === undefined) throw new Error(`${op} was not answered`);
    if ("error" in outcome) {
      if (op === "open" && outcome.error === "ESTALE") return this.#openAgain(nodeid, request, caller) as Answer<K>;
      throw new FsError(outcome.error);
    }
    return outcome.value;
  }

  /** As fs/namei.c:do_filp_open(): walks the path once more and asks for the attributes on the way. */
  #openAgain(nodeid: number, request: Partial<Request<"open">>, caller: Caller): Answer<"open"> {
    this.call("getattr", nodeid, {}, caller);
    const outcome = this.outcome<"open">(this.start("open", nodeid, request, caller));
    if (outcome === undefined) throw new Error("open was not answered the second time");
    if ("error" in outcome) throw new FsError(outcome.error);
    return outcome.value;
  }

  /** Returns the errno of a request, or "ok". */
  errno<K extends OpName>(
    op: K,
    nodeid: number,
    request: Partial<Request<K>> = {},
    caller: Caller = {},
  ): ErrnoName | "ok" {
    try {
      this.call(op, nodeid, request, caller);
      return "ok";
    } catch (error) {
      if (error instanceof FsError) return error.code;
      throw error;
    }
  }

  /** Sends a request and returns its unique. */
  start<K extends OpName>(op: K, nodeid: number, request: Partial<Request<K>> = {}, caller: Caller = {}): number {
    const unique = this.#unique;
    this.#unique += 2;
    const length = this.write(op, unique, nodeid, request, caller);
    if (OPS[op].reply !== "silence") this.#inFlight.set(unique, { op, nodeid, request });
    this.session.handle(this.#buffer, this.#words, length);
    this.check();
    return unique;
  }

  /** The outcome of a request; undefined while it is parked. */
  outcome<K extends OpName>(unique: number): Outcome<K> | undefined {
    this.check();
    // start() recorded the operation of the request, so this is its outcome.
    return this.#outcomes.get(unique) as Outcome<K> | undefined;
  }

  /**
   * Sends an INTERRUPT for a request. Returns true if the answer was EAGAIN, so that the kernel would send it again.
   */
  interrupt(unique: number): boolean {
    const before = this.#again;
    const length = this.write("interrupt", unique | FUSE_INT_REQ_BIT, 0, { unique });
    this.session.handle(this.#buffer, this.#words, length);
    this.check();
    return this.#again > before;
  }

  /** Drops a request, as when the connection is aborted: its reply gets ENOENT. */
  abandon(unique: number): void {
    this.#inFlight.delete(unique);
  }

  /** Passes on a message unchanged. */
  raw(message: Uint8Array): void {
    this.#buffer.set(message);
    this.session.handle(this.#buffer, this.#words, message.length);
  }

  /** INIT, as the first message of a connection. */
  init(options: {
    readonly major?: number;
    readonly minor?: number;
    readonly flags?: number;
    readonly flags2?: number;
  }) {
    const body = Buffer.alloc(64);
    body.writeUInt32LE(options.major ?? 7, 0);
    body.writeUInt32LE(options.minor ?? abi.FUSE_KERNEL_MINOR_VERSION, 4);
    body.writeUInt32LE(128 * 1024, 8);
    body.writeUInt32LE((options.flags ?? 0xffffffff) >>> 0, 12);
    body.writeUInt32LE((options.flags2 ?? 0xffffffff) >>> 0, 16);
    return this.call("init", 0, { body: (options.minor ?? 45) >= 36 ? body : body.subarray(0, 16) });
  }

  /** Writes a message to the buffer and returns its length. */
  write<K extends OpName>(op: K, unique: number, nodeid: number, request: Partial<Request<K>>, caller: Caller = {}) {
    const row = OPS[op];
    const whole = { ...zeros(row.request as Struct<unknown>), ...request };
    const encode = row.request.encode as Struct<unknown>["encode"];
    const length = encode(this.#buffer, this.#words, abi.inHeader.size, whole);
    abi.inHeader.encode(this.#buffer, this.#words, 0, {
      len: length,
      opcode: row.opcode,
      unique,
      nodeid,
      uid: caller.uid ?? 0,
      gid: caller.gid ?? 0,
      pid: caller.pid ?? 4711,
      total_extlen: 0,
    });
    return length;
  }

  /** Returns a copy of the message last written. */
  message(length: number): Buffer {
    return Buffer.from(this.#buffer.subarray(0, length));
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Shorthands
  // ---------------------------------------------------------------------------------------------------------------

  /** Looks a path up from the root and returns the last entry. Throws FsError. */
  walk(path: string): StructValue<typeof abi.entryOut> {
    let nodeid = abi.FUSE_ROOT_ID;
    let entry: StructValue<typeof abi.entryOut> | undefined;
    for (const part of path.split("/").filter((part) => part !== "")) {
      entry = this.call("lookup", nodeid, { name: part });
      if (entry.nodeid === 0) throw new FsError("ENOENT");
      nodeid = entry.nodeid;
    }
    if (entry === undefined) throw new Error("walk: the root has no entry");
    return entry;
  }

  stat(nodeid: number) {
    return this.call("getattr", nodeid).attr;
  }

  /** Reads all of an open file, in READs of `piece` bytes. */
  readAll(nodeid: number, fh: number, piece = 128 * 1024): Buffer {
    const pieces: Buffer[] = [];
    for (let offset = 0; ; ) {
      const data = this.call("read", nodeid, { fh, offset, size: piece });
      pieces.push(data);
      offset += data.length;
      if (data.length < piece) return Buffer.concat(pieces);
    }
  }

  /** Sends one READDIR or READDIRPLUS from a cookie on. */
  readdir(nodeid: number, options: { offset?: number; size?: number; plus?: boolean } = {}): Dirent[] {
    const { offset = 0, size = 4096, plus = false } = options;
    return parseDirents(this.call(plus ? "readdirplus" : "readdir", nodeid, { offset, size }), plus);
  }

  /** Returns a whole listing, as getdents(2) in a loop. */
  list(nodeid: number, options: { size?: number; plus?: boolean } = {}): Dirent[] {
    const all: Dirent[] = [];
    for (;;) {
      const some = this.readdir(nodeid, { ...options, offset: all.at(-1)?.off ?? 0 });
      if (some.length === 0) return all;
      all.push(...some);
    }
  }

  release(nodeid: number, fh: number, flags = 0): void {
    this.call("release", nodeid, { fh, flags });
  }

  /** Returns lookups: all of them, or `count`. */
  forget(nodeid: number, count = this.lookups.get(nodeid) ?? 0): void {
    const left = (this.lookups.get(nodeid) ?? 0) - count;
    if (left > 0) this.lookups.set(nodeid, left);
    else this.lookups.delete(nodeid);
    this.call("forget", nodeid, { nlookup: count });
  }

  /** Closes every handle and forgets every node, as the kernel does if nothing uses the mount and memory is short. */
  letGo(): void {
    for (const [fh, nodeid] of this.handles) this.release(nodeid, fh);
    const all = [...this.lookups];
    this.lookups.clear();
    for (let at = 0; at < all.length; at += 1000) {
      const some = all.slice(at, at + 1000);
      const forgets = Buffer.alloc(some.length * 16);
      const words = wordsOf(forgets);
      some.forEach(([nodeid, nlookup], index) => {
        abi.forgetOne.encode(forgets, words, index * 16, { nodeid, nlookup });
      });
      this.call("batchForget", 0, { count: some.length, forgets });
    }
  }

  /** Throws if the kernel would have rejected a reply, or received nonsense. */
  check(): void {
    const found = this.#violations.splice(0);
    if (found.length > 0) throw new Error(`the kernel refuses: ${found.join("; ")}`);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Replies, as fs/fuse/dev.c:fuse_dev_do_write()
  // ---------------------------------------------------------------------------------------------------------------

  sendAsync(message: Buffer, length: number): AsyncWrite {
    if (this.threadless) throw new FsError("EAGAIN");
    const copy = Buffer.from(message.subarray(0, length));
    let state: "waiting" | "done" | "taken back" = "waiting";
    const send = () => {
      if (state !== "waiting") return;
      state = "done";
      this.send(copy, length);
    };
    if (this.blocked === undefined) send();
    else this.blocked.push(send);
    return {
      done: () => state !== "waiting",
      cancel: () => {
        if (state !== "waiting" || this.stuck) return false;
        state = "taken back";
        return true;
      },
    };
  }

  /** Sends the messages that other threads could not send before. */
  unblock(): void {
    const sends = this.blocked ?? [];
    this.blocked = undefined;
    for (const send of sends) send();
  }

  sendExtent(message: Buffer, headerLength: number, { fd, offset, length }: Extent): number {
    const data = Buffer.alloc(length);
    const read = libc.pread(fd, data, length, offset);
    if (read !== length) return this.#refuse(`${read} bytes where ${length} were announced`);
    return this.send(Buffer.concat([message.subarray(0, headerLength), data]), headerLength + length);
  }

  send(message: Buffer, length: number): number {
    const buffer = message.subarray(0, length);
    const error = buffer.readInt32LE(4);
    const unique = Number(buffer.readBigUInt64LE(8));
    if (buffer.readUInt32LE(0) !== length) return this.#refuse(`length ${buffer.readUInt32LE(0)} in ${length} bytes`);
    if (unique === 0) return this.#notified(error, buffer);
    if (error > 0 || error <= -512) return this.#refuse(`error ${error}`);
    if (error !== 0 && length !== abi.outHeader.size) return this.#refuse(`an error with ${length} bytes`);
    if ((unique & FUSE_INT_REQ_BIT) !== 0) {
      // The reply to an INTERRUPT: the request that it names must still exist.
      if (!this.#inFlight.has(unique - FUSE_INT_REQ_BIT)) return -ERRNO.ENOENT;
      if (error === -ERRNO.EAGAIN) this.#again++;
      else this.#refuse(`an interrupt was answered with ${error}`);
      return 0;
    }
    const request = this.#inFlight.get(unique);
    if (request === undefined) return -ERRNO.ENOENT;
    this.#inFlight.delete(unique);
    const outcome = error === 0 ? { value: this.#decode(request, buffer) } : { error: errnoName(-error) as ErrnoName };
    this.#outcomes.set(unique, outcome as Outcome<OpName>);
    return 0;
  }

  #decode(request: InFlight, buffer: Buffer): unknown {
    const { op, nodeid } = request;
    const { reply } = OPS[op];
    const body = buffer.length - abi.outHeader.size;
    if (reply === "data") {
      const { size } = request.request as { size?: number };
      const most = (op === "getxattr" || op === "listxattr") && (size ?? 0) === 0 ? 8 : (size ?? 4095);
      if (body > most) this.#refuse(`${op}: ${body} bytes where ${most} were asked for`);
      const data = Buffer.from(buffer.subarray(abi.outHeader.size));
      if (op === "readdirplus") for (const { entry } of parseDirents(data, true)) if (entry) this.#told(entry);
      return data;
    }
    if (typeof reply === "string") {
      if (body !== 0) this.#refuse(`${op}: ${body} bytes where there should be none`);
      if (op === "release") this.handles.delete((request.request as { fh: number }).fh);
      return undefined;
    }
    if (body !== reply.size) this.#refuse(`${op}: ${body} bytes where ${reply.size} are due`);
    const value = reply.decode(buffer, wordsOf(buffer), abi.outHeader.size, buffer.length);
    if (reply === abi.entryOut) this.#told(value as StructValue<typeof abi.entryOut>);
    if (reply === abi.createOut) {
      const made = value as StructValue<typeof abi.createOut>;
      this.#told(made.entry);
      this.#opened(made.entry.nodeid, made.open.fh);
    }
    if (op === "open") this.#opened(nodeid, (value as StructValue<typeof abi.openOut>).fh);
    return value;
  }

  /** An entry reply counts as a lookup; nodeid 0 means that there is no such name. */
  #told(entry: StructValue<typeof abi.entryOut>): void {
    if (entry.nodeid === 0) return;
    const { mode, size } = entry.attr;
    const type = mode >> 12;
    // As in fs/fuse/dir.c:fuse_invalid_attr() and fuse_valid_type().
    if (![1, 2, 4, 6, 8, 10, 12].includes(type)) this.#refuse(`an entry of mode ${mode.toString(8)}`);
    if (size > Number.MAX_SAFE_INTEGER) this.#refuse(`an entry of ${size} bytes`);
    if (entry.nodeid !== abi.FUSE_ROOT_ID) this.lookups.set(entry.nodeid, (this.lookups.get(entry.nodeid) ?? 0) + 1);
  }

  #opened(nodeid: number, fh: number): void {
    if (this.handles.has(fh)) this.#refuse(`handle ${fh} was given twice`);
    this.handles.set(fh, nodeid);
  }

  #notified(code: number, buffer: Buffer): number {
    const words = wordsOf(buffer);
    const at = abi.outHeader.size;
    switch (code) {
      case abi.FUSE_NOTIFY_STORE: {
        const { nodeid, offset, size } = abi.notifyStoreOut.decode(buffer, words, at, buffer.length);
        const data = Buffer.from(buffer.subarray(at + abi.notifyStoreOut.size));
        if (data.length !== size) return this.#refuse(`a store of ${size} bytes carries ${data.length}`);
        return this.#aboutNode(nodeid, { code: "store", nodeid, offset, data });
      }
      case abi.FUSE_NOTIFY_INVAL_INODE: {
        if (buffer.length !== at + abi.notifyInvalInodeOut.size) return this.#refuse("inval inode: wrong length");
        const { ino, off, len } = abi.notifyInvalInodeOut.decode(buffer, words, at, buffer.length);
        return this.#aboutNode(ino, { code: "inval inode", nodeid: ino, off, len });
      }
      case abi.FUSE_NOTIFY_INVAL_ENTRY: {
        const { parent, name, namelen } = abi.notifyInvalEntryOut.decode(buffer, words, at, buffer.length);
        if (buffer.length !== at + abi.notifyInvalEntryOut.size + namelen + 1)
          return this.#refuse("inval entry: length");
        return this.#aboutNode(parent, { code: "inval entry", parent, name });
      }
      case abi.FUSE_NOTIFY_DELETE: {
        const { parent, child, name, namelen } = abi.notifyDeleteOut.decode(buffer, words, at, buffer.length);
        if (buffer.length !== at + abi.notifyDeleteOut.size + namelen + 1) return this.#refuse("delete: length");
        return this.#aboutNode(parent, { code: "delete", parent, child, name });
      }
      default:
        return this.#refuse(`notification ${code}`);
    }
  }

  #aboutNode(nodeid: number, notification: Notification): number {
    this.notifications.push(notification);
    return nodeid === abi.FUSE_ROOT_ID || this.lookups.has(nodeid) ? 0 : -ERRNO.ENOENT;
  }

  #refuse(what: string): number {
    this.#violations.push(what);
    return -ERRNO.EINVAL;
  }
}

/** A request with every field zero or empty. */
function zeros(struct: Struct<unknown>): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, type] of Object.entries(struct.fields)) {
    if (type.decode("0", 0) === "undefined") continue;
    values[key] = type === name ? "" : type === rest ? new Uint8Array(0) : 0;
  }
  return values;
}

/** Parses the records of a READDIR or READDIRPLUS reply. */
export function parseDirents(data: Buffer, plus: boolean): Dirent[] {
  const words = wordsOf(data);
  const found: Dirent[] = [];
  for (let at = 0; at < data.length; ) {
    const entry = plus ? abi.entryOut.decode(data, words, at, data.length) : undefined;
    if (plus) at += abi.entryOut.size;
    const { ino, off, namelen, type } = abi.dirent.decode(data, words, at, data.length);
    at += abi.dirent.size;
    if (namelen === 0 || namelen > 1024 || at + namelen > data.length) throw new Error(`a dirent of ${namelen} bytes`);
    const text = data.toString("latin1", at, at + namelen);
    found.push({ name: text, ino, off, type, ...(entry === undefined ? {} : { entry }) });
    at = (at + namelen + 7) & ~7;
  }
  return found;
}
