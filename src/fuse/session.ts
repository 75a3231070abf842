/**
 * The conversation with the kernel: a request in, at most one reply out.
 *
 * The session splits messages, does the handshake (INIT), dispatches by the operation table, turns errors into errnos,
 * and handles interrupts and the debug log. It does not know the tree, nor file descriptors (see device.ts; tests use
 * an in-memory kernel instead).
 */
import { ERRNO, FsError } from "../errno.ts";
import type { AsyncWrite, Extent } from "../libc.ts";
import * as abi from "./abi.ts";
import {
  type Filesystem,
  type Handler,
  type Header,
  OPS,
  type OpName,
  PARKED,
  type Reply,
  type ReplyKind,
} from "./ops.ts";
import { ParkedRequests } from "./parked.ts";
import { describeRequest } from "./request-text.ts";
import { MalformedMessage, type Struct, wordsOf } from "./wire.ts";

const HEADER_SIZE = abi.outHeader.size;

/** Where replies and notifications go. */
export interface Channel {
  /** Sends one message, the first `length` bytes. Returns 0 or a negative errno: ENOENT if the request is gone. */
  send(message: Buffer, length: number): number;
  /**
   * Sends the first `headerLength` bytes of `message` and then the extent's data as one message. Returns the same as
   * `send`. The rest of `message`, which is large enough for any reply, may be overwritten.
   */
  sendExtent(message: Buffer, headerLength: number, extent: Extent): number;
  /**
   * Sends one message, the first `length` bytes, from another thread, so that only that thread blocks. Returns
   * undefined if there is no such thread. Messages may wait for earlier ones, except that messages sent with `apart`
   * and without never wait for each other.
   */
  sendAsync(message: Buffer, length: number, apart: boolean): AsyncWrite | undefined;
}

export interface SessionOptions {
  /** The FUSE_* capabilities that we request; the kernel grants those that it supports. */
  readonly flags: number;
  readonly flags2: number;
  /** Maximum size of a WRITE, in bytes; a multiple of the page size. */
  readonly maxWrite: number;
  /** Handles a signal to the thread that sent a parked request. Returns false if no handler has it parked. */
  readonly onInterrupt: (unique: number, thread: number) => boolean;
  readonly onRequest?: () => void;
  /** Called once, after the handshake. */
  readonly onReady?: (granted: Granted) => void;
  readonly log: (level: "debug" | "warn" | "error", text: string) => void;
  /** How long the kernel is asked to let requests wait, in seconds; 0 or absent asks for nothing. */
  readonly requestTimeout?: number;
  readonly onParked?: () => void;
  /** Log every request and reply at debug. */
  readonly debug?: boolean;
}

/** The result of the handshake. */
export interface Granted {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
}

const NOTHING_GRANTED: Granted = { minor: abi.FUSE_KERNEL_MINOR_VERSION, flags: 0, flags2: 0 };

type SomeHandler = (request: unknown, header: Header, target: Buffer) => unknown;

interface OperationRow {
  readonly name: OpName;
  readonly request: Struct<unknown>;
  readonly reply: ReplyKind;
  readonly handler: SomeHandler | undefined;
  /** The struct of the reply; undefined if the reply is of another kind. Comparing kinds takes longer. */
  readonly body: Struct<unknown> | undefined;
  /** Handles a request that the session answers by itself. */
  readonly own: ((request: unknown, words: Uint32Array, length: number, unique: number) => void) | undefined;
}

export class Session {
  readonly #rows: (OperationRow | undefined)[] = [];
  readonly #filesystem: Filesystem;
  readonly #channel: Channel;
  readonly #options: SessionOptions;
  readonly #out: Buffer;
  readonly #outWords: Uint32Array;
  /** The buffer in which handlers return "data". */
  readonly #target: Buffer;
  readonly #header: Header = { opcode: 0, unique: 0, nodeid: 0, uid: 0, gid: 0, pid: 0 };
  readonly #parked = new ParkedRequests<OperationRow>();
  #deferred: (() => void) | undefined;
  /** The number of requests by opcode: what a workload costs. */
  readonly counts = new Uint32Array(64);
  granted: Granted | undefined;
  destroyed = false;

  /** The thread that sent the last request; 0 if it is in a process namespace that is not below ours. */
  get lastCaller(): number {
    return this.#header.pid;
  }

  constructor(filesystem: Filesystem, channel: Channel, options: SessionOptions) {
    this.#filesystem = filesystem;
    this.#channel = channel;
    this.#options = options;
    this.#out = Buffer.alloc(HEADER_SIZE + options.maxWrite + 4096);
    this.#outWords = wordsOf(this.#out);
    this.#target = this.#out.subarray(HEADER_SIZE);
    const own: { readonly [K in OpName]?: OperationRow["own"] } = {
      init: (_, words, length, unique) => this.#init(words, length, unique),
      interrupt: (request) => this.#interrupt(request),
    };
    const destroy: Handler<"destroy"> = (request, header, target) => {
      this.destroyed = true;
      return filesystem.destroy?.(request, header, target);
    };
    for (const [name, { opcode, request, reply }] of Object.entries(OPS)) {
      const key = name as OpName; // OPS has no other keys
      this.#rows[opcode] = {
        name: key,
        request: request as Struct<unknown>,
        reply,
        // The table matches each handler to its own request and reply; a loop over all rows cannot express that in types.
        handler: (key === "destroy" ? destroy : filesystem[key]) as SomeHandler | undefined,
        body: typeof reply === "object" ? (reply as Struct<unknown>) : undefined,
        own: own[key],
      };
    }
  }

  /** Handles one message. `words` are those of `buffer` (wordsOf); the handler must not keep either. */
  handle(buffer: Buffer, words: Uint32Array, length: number): void {
    if (length < abi.inHeader.size || words[0] !== length) {
      return this.#rejectMalformed(length >= 16 ? readU64(words, 2) : 0, `a message of ${length} bytes`);
    }
    this.#options.onRequest?.();
    const header = this.#header;
    header.opcode = words[1] ?? 0;
    header.unique = readU64(words, 2);
    header.nodeid = readU64(words, 4);
    header.uid = words[6] ?? 0;
    header.gid = words[7] ?? 0;
    header.pid = words[8] ?? 0;
    const { opcode, unique } = header;
    if (opcode < this.counts.length) this.counts[opcode] = (this.counts[opcode] ?? 0) + 1;
    const row = this.#rows[opcode];
    if (row === undefined) return this.#fail(unique, ERRNO.ENOSYS, `opcode ${opcode}`);
    // Extensions (7.38) are at the end of the message and not part of the struct.
    const limit = length - ((words[9] ?? 0) & 0xffff) * 8;
    try {
      const request = row.request.decode(buffer, words, abi.inHeader.size, limit);
      if (this.#options.debug === true) this.#options.log("debug", describeRequest(row.name, header, request));
      if (row.own !== undefined) return row.own(request, words, length, unique);
      if (row.handler === undefined) {
        if (row.reply !== "silence") this.#fail(unique, ERRNO.ENOSYS, row.name);
        return;
      }
      const value = row.handler.call(this.#filesystem, request, header, this.#target);
      if (value instanceof FsError) return this.#replyError(row, unique, value);
      if (value !== PARKED) return void this.#reply(row, unique, value);
      this.#parked.add(header, row);
      this.#options.onParked?.();
    } catch (error) {
      if (row.reply !== "silence") this.#replyError(row, unique, error);
      else if (error instanceof MalformedMessage) this.#rejectMalformed(0, `${row.name}: ${error.message}`);
      else this.#options.log("error", `${row.name}: ${describe(error)}`);
    } finally {
      this.runDeferred();
    }
  }

  /**
   * Runs a handler's work after its reply is sent, so that the caller does not wait for it. It runs before the next
   * request is read, so that no request sees the state before it, and while the request's data is still there.
   */
  runAfterwards(work: () => void): void {
    this.#deferred = work;
  }

  /** Does the work that a handler has deferred. Whoever calls a handler outside `handle` must call this afterwards. */
  runDeferred(): void {
    const work = this.#deferred;
    if (work === undefined) return;
    this.#deferred = undefined;
    try {
      work();
    } catch (error) {
      this.#options.log("error", describe(error));
    }
  }

  /** Answers a parked request of this operation. Returns false if it is not, or no longer, parked. */
  answer<K extends OpName>(unique: number, name: K, value: Reply<K>): boolean {
    if (this.#parked.get(unique)?.row.name !== name) return false;
    const row = this.#parked.take(unique);
    return row !== undefined && this.#reply(row, unique, value);
  }

  /** Answers a parked request with "data". Returns false if it is no longer parked, or its caller is gone. */
  answerData(unique: number, data: Uint8Array): boolean {
    if (this.#parked.get(unique)?.row.reply !== "data") return false;
    const row = this.#parked.take(unique);
    if (row === undefined) return false;
    this.#target.set(data);
    return this.#reply(row, unique, data.length);
  }

  /** Ends a parked request with an error. */
  fail(unique: number, error: unknown): void {
    const row = this.#parked.take(unique);
    if (row !== undefined) this.#replyError(row, unique, error);
  }

  get parked(): number {
    return this.#parked.size;
  }

  get oldestParked(): ParkedRequests<OperationRow>["oldest"] {
    return this.#parked.oldest;
  }

  isParked(unique: number): boolean {
    return this.#parked.get(unique) !== undefined;
  }

  /** Whether a lookup in this directory is parked. The kernel holds the directory's lock during that time. */
  hasParkedLookup(nodeid: number): boolean {
    return this.#parked.hasLookup(nodeid);
  }

  /** Sends the kernel a notification: `code` is a FUSE_NOTIFY_*. Returns 0 or a negative errno. */
  notify<T>(code: number, body: Struct<T>, value: T, data?: Uint8Array): number {
    const end = body.encode(this.#out, this.#outWords, HEADER_SIZE, value);
    const length = end + (data?.length ?? 0);
    const message = length <= this.#out.length ? this.#out : Buffer.alloc(length);
    if (message !== this.#out) this.#out.copy(message, 0, 0, end);
    if (data !== undefined) message.set(data, end);
    return this.#sendHeader(message, 0, code, length);
  }

  /**
   * Like `notify`, from another thread, for notifications on which the kernel may block. Undefined if there is no such
   * thread. See Channel.sendAsync.
   */
  notifyAsync<T>(code: number, body: Struct<T>, value: T, apart = false): AsyncWrite | undefined {
    const length = body.encode(this.#out, this.#outWords, HEADER_SIZE, value);
    this.#writeHeader(this.#outWords, 0, code, length);
    return this.#channel.sendAsync(this.#out, length, apart);
  }

  #reply(row: OperationRow, unique: number, value: unknown): boolean {
    let length = HEADER_SIZE;
    if (row.body !== undefined) length = row.body.encode(this.#out, this.#outWords, HEADER_SIZE, value);
    else if (row.reply === "data") {
      if (typeof value === "object") return this.#replyExtent(row, unique, value as Extent);
      length += Number(value);
    } else if (row.reply === "silence") return true;
    if (this.#options.debug === true) this.#options.log("debug", `← ${unique} ${row.name} ok ${length} bytes`);
    return this.#send(unique, length - HEADER_SIZE);
  }

  #replyExtent(row: OperationRow, unique: number, extent: Extent): boolean {
    const length = HEADER_SIZE + extent.length;
    if (this.#options.debug === true) this.#options.log("debug", `← ${unique} ${row.name} ok ${length} bytes`);
    this.#writeHeader(this.#outWords, unique, 0, length);
    return this.#checkSent(unique, this.#channel.sendExtent(this.#out, HEADER_SIZE, extent), length) === 0;
  }

  #replyError(row: OperationRow, unique: number, error: unknown): void {
    if (error instanceof FsError) return this.#fail(unique, error.errno, row.name, error);
    if (error instanceof MalformedMessage) return this.#rejectMalformed(unique, `${row.name}: ${error.message}`);
    this.#options.log("error", `${row.name}: ${describe(error)}`);
    this.#fail(unique, ERRNO.EIO, row.name);
  }

  #rejectMalformed(unique: number, what: string): void {
    this.#options.log("error", `the kernel sent something that is not its protocol: ${what}`);
    if (unique !== 0) this.#fail(unique, ERRNO.EIO, what);
  }

  #fail(unique: number, errno: number, what: string, error?: FsError): void {
    if (this.#options.debug === true) {
      this.#options.log("debug", `← ${unique} ${what} ${error?.code ?? errno} ${error?.message ?? ""}`);
    }
    this.#sendHeader(this.#out, unique, -errno, HEADER_SIZE);
  }

  #send(unique: number, bodyLength: number): boolean {
    return this.#sendHeader(this.#out, unique, 0, HEADER_SIZE + bodyLength) === 0;
  }

  #sendHeader(message: Buffer, unique: number, error: number, length: number): number {
    this.#writeHeader(message === this.#out ? this.#outWords : wordsOf(message), unique, error, length);
    return this.#checkSent(unique, this.#channel.send(message, length), length);
  }

  #writeHeader(words: Uint32Array, unique: number, error: number, length: number): void {
    words[0] = length;
    words[1] = error;
    words[2] = unique;
    words[3] = Math.floor(unique / 2 ** 32);
  }

  #checkSent(unique: number, result: number, length: number): number {
    // ENOENT: the caller was killed, or the request aborted; this reply is not needed.
    if (result < 0 && result !== -ERRNO.ENOENT && unique !== 0) {
      this.#options.log("warn", `a reply of ${length} bytes was refused by the kernel: errno ${-result}`);
    }
    return result;
  }

  /**
   * INTERRUPT names a request whose caller got a signal. If the request waits here, the handler that parked it decides
   * whether to answer it with EINTR; the INTERRUPT itself gets no reply. Otherwise the request is either answered
   * already, and the kernel drops this reply, or not read yet, and EAGAIN makes the kernel send the interrupt again
   * (Documentation/filesystems/fuse.rst, "Interrupting filesystem operations").
   */
  #interrupt(request: unknown): void {
    const { unique } = request as { unique: number }; // the row's struct is interruptIn
    const parked = this.#parked.get(unique);
    if (parked === undefined || !this.#options.onInterrupt(unique, parked.thread))
      this.#sendHeader(this.#out, this.#header.unique, -ERRNO.EAGAIN, HEADER_SIZE);
  }

  #init(words: Uint32Array, length: number, unique: number): void {
    if (length < abi.inHeader.size + abi.initIn.size)
      return this.#rejectMalformed(unique, `an INIT of ${length} bytes`);
    const [major = 0, minor = 0, maxReadahead = 0, offered = 0] = words.subarray(10);
    // A newer kernel is told our version, and then sends INIT again with that version.
    if (major > abi.FUSE_KERNEL_VERSION) return this.#sendInit(unique, NOTHING_GRANTED, 0);
    if (major < abi.FUSE_KERNEL_VERSION || minor < abi.OLDEST_MINOR_VERSION) {
      this.#options.log("error", `the kernel speaks FUSE ${major}.${minor}; Linux 5.4 (7.31) or newer is needed`);
      return this.#fail(unique, ERRNO.EPROTO, "init");
    }
    const extended = (offered & abi.FUSE_INIT_EXT) !== 0 && length >= 60;
    const offered2 = extended ? (words[14] ?? 0) : 0;
    const granted: Granted = {
      minor: Math.min(minor, abi.FUSE_KERNEL_MINOR_VERSION),
      flags: (this.#options.flags | (extended ? abi.FUSE_INIT_EXT : 0)) & offered,
      flags2: (this.#options.flags2 | (this.#options.requestTimeout ? abi.FUSE_REQUEST_TIMEOUT : 0)) & offered2,
    };
    this.#sendInit(unique, granted, maxReadahead);
    if ((granted.flags & abi.FUSE_SETXATTR_EXT) === 0) this.#useShortSetxattr();
    this.granted = granted;
    this.#options.onReady?.(granted);
  }

  #sendInit(unique: number, granted: Granted, maxReadahead: number): void {
    const end = abi.initOut.encode(this.#out, this.#outWords, HEADER_SIZE, {
      major: abi.FUSE_KERNEL_VERSION,
      minor: granted.minor,
      max_readahead: maxReadahead,
      flags: granted.flags >>> 0,
      max_background: 64,
      congestion_threshold: 48,
      max_write: this.#options.maxWrite,
      time_gran: 1,
      max_pages: Math.ceil(this.#options.maxWrite / 4096),
      map_alignment: 0,
      flags2: granted.flags2 >>> 0,
      max_stack_depth: (granted.flags2 & abi.FUSE_PASSTHROUGH) !== 0 ? 1 : 0,
      request_timeout: (granted.flags2 & abi.FUSE_REQUEST_TIMEOUT) !== 0 ? (this.#options.requestTimeout ?? 0) : 0,
    });
    this.#send(unique, end - HEADER_SIZE);
  }

  /** A kernel before 7.33 sends setxattr without the last fields of the row. */
  #useShortSetxattr(): void {
    const { opcode } = OPS.setxattr;
    const row = this.#rows[opcode];
    if (row === undefined) return;
    const short = abi.setxattrInCompat;
    const decode: Struct<unknown>["decode"] = (buffer, words, offset, limit) => ({
      ...short.decode(buffer, words, offset, limit),
      setxattr_flags: 0,
    });
    this.#rows[opcode] = { ...row, request: { ...row.request, decode } };
  }
}

function readU64(words: Uint32Array, index: number): number {
  const lower = words[index] ?? 0;
  const upper = words[index + 1] ?? 0;
  return upper === 0 ? lower : lower + upper * 2 ** 32;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
