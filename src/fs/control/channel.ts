/** An open `.llmfs/control`: accepts requests, line by line, and answers them; see rpc/control-protocol.ts. */

import { FsError } from "../../errno.ts";
import { type Caller, type Header, PARKED, type Parked } from "../../fuse/ops.ts";
import {
  CONTROL_OPERATIONS,
  changesTree,
  isControlOperation,
  SUBMIT,
  SUBMIT_BYTES,
} from "../../rpc/control-protocol.ts";
import type { MountCommand } from "../../rpc/messages.ts";
import { printable } from "../../text/printable.ts";
import type { RegularFile } from "../../tree/file.ts";
import { toBytes } from "../../tree/path.ts";
import { MAY_EXEC, MAY_WRITE, mayAccess } from "../../tree/permissions/access.ts";
import type { FsContext } from "../context.ts";
import { inGroup } from "../ops/attributes.ts";
import { usesOf } from "../outdated.ts";
import type { RpcHandlers } from "../rpc-handlers.ts";
import type { ControlHandle } from "./directory.ts";
import {
  type ControlRequest,
  parseRequest,
  readCommand,
  readGrowth,
  readNewFile,
  readWish,
  requirePath,
} from "./requests.ts";

const SIZE_BITS = SUBMIT_BYTES << 16;

/** Requests sent to the main thread at once, so that it can start on them while the next ones are resolved. */
const TOGETHER = 16;
/** Maximum number of lines per write; other requests of the mount are answered in between. */
const MOST_LINES = 256;
/** A prompt has at most 64 KiB, and JSON may encode a byte as six. */
const LONGEST_LINE = 512 * 1024;
/** Limit for unread answers, in bytes, and for requests in progress. Beyond it no further request is accepted. */
const MOST_UNREAD = 1 << 20;
const MOST_UNDER_WAY = 65_536;

/** The maximum length of a path in an event. */
const LONGEST_PATH = 4096;

const NEWLINE = 0x0a;
const NOTHING = new Uint8Array(0);

/** Numbers for the channel's waiters in waiters.ts. They are negative; the kernel's are positive. */
let lastName = 0;

export class ControlChannel implements ControlHandle {
  readonly #mount: FsContext;
  readonly #handlers: RpcHandlers;
  readonly #writes: boolean;
  readonly #waits: boolean;
  /** The incomplete last line. */
  #rest: Uint8Array = NOTHING;
  /** The waiters of requests in progress, by their number, for cancelling. */
  readonly #underWay = new Set<number>();
  /** Answers, oldest first. */
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  /** Reads that wait for answers, with their sizes. */
  readonly #reads: { readonly unique: number; readonly size: number }[] = [];
  /** The numbers of commands that the main thread is running. */
  readonly #commands = new Set<number>();
  /** Requests to stop. */
  #others = 0;

  /** `writes`: whether it was opened for writing; `waits`: whether it was opened without O_NONBLOCK. */
  constructor(mount: FsContext, handlers: RpcHandlers, writes: boolean, waits = true) {
    this.#mount = mount;
    this.#handlers = handlers;
    this.#writes = writes;
    this.#waits = waits;
  }

  /** Throws EBUSY or EFBIG, and then accepts nothing. */
  write(data: Uint8Array, caller: Caller): number {
    this.#checkRoom();
    return this.#take(data, caller);
  }

  /** Like `write`, but accepts everything. Throws ENOTTY for any command other than SUBMIT. */
  command(code: number, data: Uint8Array, caller: Caller): void {
    if ((code & ~SIZE_BITS) >>> 0 !== SUBMIT) throw new FsError("ENOTTY");
    this.#checkRoom();
    for (let at = 0; at < data.length; ) at += this.#take(data.subarray(at), caller);
  }

  read(_offset: number, target: Buffer, { unique }: Header): number | Parked {
    if (this.#unreadBytes > 0) return this.#takeUnread(target.length).copy(target);
    if (this.#underWay.size + this.#commands.size + this.#others === 0) return 0;
    if (!this.#waits) throw new FsError("EAGAIN", "there is no answer yet");
    this.#reads.push({ unique, size: target.length });
    return PARKED;
  }

  leave(unique: number): boolean {
    const at = this.#reads.findIndex((read) => read.unique === unique);
    if (at < 0) return false;
    this.#reads.splice(at, 1);
    this.#mount.session().fail(unique, new FsError("EINTR", "interrupted while waiting for answers"));
    return true;
  }

  close(): void {
    this.#callOff(false);
  }

  #checkRoom(): void {
    if (this.#unreadBytes > MOST_UNREAD) throw new FsError("EBUSY", "read the answers first");
    if (this.#underWay.size > MOST_UNDER_WAY)
      throw new FsError("EBUSY", `${this.#underWay.size} requests are in progress`);
  }

  /** Returns how many bytes it accepted: whole requests, or the start of one. */
  #take(data: Uint8Array, caller: Caller): number {
    const lines: Uint8Array[] = [];
    let at = 0;
    for (; lines.length < MOST_LINES; ) {
      const end = data.indexOf(NEWLINE, at);
      if (end < 0) break;
      const line = data.subarray(at, end);
      lines.push(this.#rest.length === 0 ? line : Buffer.concat([this.#rest, line]));
      this.#rest = NOTHING;
      at = end + 1;
    }
    if (lines.length < MOST_LINES) {
      this.#rest = Buffer.concat([this.#rest, data.subarray(at)]);
      at = data.length;
    }
    if (this.#rest.length > LONGEST_LINE) {
      this.#rest = NOTHING;
      throw new FsError("EFBIG", `a request has ${LONGEST_LINE} bytes at most`);
    }
    for (let first = 0; first < lines.length; first += TOGETHER) {
      this.#mount.batchMessages(() => {
        for (const line of lines.slice(first, first + TOGETHER)) this.#handleLine(line, caller);
      });
    }
    return at;
  }

  #handleLine(line: Uint8Array, caller: Caller): void {
    const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString("utf8").trim();
    if (text === "") return;
    let id: unknown = null;
    try {
      const request = parseRequest(text);
      id = request.id ?? null;
      this.#begin(request, id, caller);
    } catch (error) {
      this.#answer(id, FsError.from(error));
    }
  }

  #begin(request: ControlRequest, id: unknown, caller: Caller): void {
    const { op, dry } = request;
    if (!isControlOperation(op)) {
      const known = CONTROL_OPERATIONS.join(", ");
      throw new FsError("EINVAL", `there is no op ${JSON.stringify(op)}; expected one of ${known}`);
    }
    const growth = op === "grow" ? readGrowth(request, caller) : undefined;
    const changes = changesTree({ op, dry });
    if (changes && !this.#writes) throw new FsError("EACCES", "the control file is not open for writing");
    this.#note(op, request.path, caller);
    if (growth !== undefined) return this.#command(id, growth);
    if (request.op === "stop") return this.#stop(id);
    if (request.op === "version") return this.#answer(id, undefined, { version: this.#handlers.version() });
    if (request.op === "add") return this.#add(request, id, caller);
    const command = readCommand(request);
    if (command !== undefined) return this.#command(id, command);
    const { regen, pending } = this.#mount;
    const file = this.#resolveFile(request.path, changes ? caller : undefined);
    if (request.op === "undo") {
      regen.undo(file);
      return this.#answer(id);
    }
    if (request.op === "make" && !file.lazy) return this.#answer(id);
    if (request.op === "update" && !usesOf(this.#mount.tree, file).some(({ changed }) => changed))
      return this.#answer(id);
    const wish = readWish(request);
    if (request.op !== "make") {
      const newPrompt = wish.prompt !== undefined || wish.instruction !== undefined;
      this.#mount.authors.checkRegeneration(file, newPrompt, caller.uid);
    }
    const name = --lastName;
    const finish = (error?: FsError) => {
      if (this.#underWay.delete(name)) this.#answer(id, error);
    };
    const waiter = { unique: name, pid: caller.pid, done: () => finish(), fail: finish };
    this.#underWay.add(name);
    try {
      if (request.op === "make") pending.wait(file, waiter);
      else regen.generate(file, wish, waiter);
    } catch (error) {
      this.#underWay.delete(name);
      throw error;
    }
  }

  /** Requests for content are noted when they wait for it. */
  #note(op: string, path: unknown, { pid, uid }: Caller): void {
    if (["make", "stop", "version"].includes(op)) return;
    const { programs } = this.#mount;
    const about = typeof path === "string" ? { path: path.slice(0, LONGEST_PATH) } : {};
    programs.events.add("control", { op, ...about, ...programs.describe(pid, uid) });
  }

  /** Makes one pending file. */
  #add(request: ControlRequest, id: unknown, caller: Caller): void {
    const entry = readNewFile(request);
    const { count, clashes } = this.#handlers.add([entry], { uid: caller.uid, gid: caller.gid, pid: caller.pid });
    if (clashes.length > 0) throw new FsError("EEXIST", "exists already", { path: entry.path });
    this.#answer(id, undefined, { added: count });
  }

  /** With a caller, the file must be one that the caller may write to. */
  #resolveFile(path: unknown, caller: Caller | undefined): RegularFile {
    const who = caller && { uid: caller.uid, inGroup: (gid: number) => inGroup(caller, gid) };
    const file = this.#mount.tree.resolve(toBytes(requirePath(path)), {
      follow: true,
      beforeSearch(directory) {
        if (who && !mayAccess(directory, who, MAY_EXEC))
          throw new FsError("EACCES", "no search permission for a directory in the path");
      },
    });
    if (file.kind === "directory") throw new FsError("EISDIR", "a directory");
    if (file.kind !== "file") throw new FsError("EINVAL", "not a regular file");
    if (who && !mayAccess(file, who, MAY_WRITE)) throw new FsError("EACCES", "no permission to write to the file");
    return file;
  }

  /** Answers when the other thread has accounted for the cancelled work. */
  #stop(id: unknown): void {
    this.#others++;
    this.#callOff(true);
    this.#handlers.settle(() => {
      this.#others--;
      this.#answer(id);
    });
  }

  /** Passes a command on to the main thread. */
  #command(id: unknown, command: MountCommand): void {
    const number = this.#handlers.command(command, (outcome) => {
      this.#commands.delete(number);
      if ("failure" in outcome) {
        const { code, message } = outcome.failure;
        this.#mount.programs.events.add("failed", { op: command.op, errno: code, reason: message });
      }
      if ("result" in outcome) this.#answer(id, undefined, outcome.result);
      else this.#answer(id, new FsError(outcome.failure.code, outcome.failure.message), { kind: outcome.failure.kind });
    });
    this.#commands.add(number);
  }

  /** Cancels everything at once, newest first; otherwise each cancelled request would free a slot for the next. */
  #callOff(forGood: boolean): void {
    const names = [...this.#underWay].reverse();
    this.#mount.batchMessages(() => {
      for (const number of this.#commands) this.#handlers.stop(number);
      for (const name of names) this.#mount.waiters.leave(name, forGood);
    });
  }

  #answer(id: unknown, error?: FsError, result: object = {}): void {
    const outcome = error === undefined ? { ok: true } : { errno: error.code, message: error.message };
    const own = printable(JSON.stringify({ id, ...outcome, ...result }));
    const bytes = Buffer.from(`${own.slice(0, -1)},"usage":${this.#handlers.usage}}\n`);
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    for (let read = this.#reads.shift(); read !== undefined; read = this.#reads.shift()) {
      const given = this.#takeUnread(read.size);
      if (this.#mount.session().answerData(read.unique, given)) return;
      // The reader is gone, so the answer is kept for the next one.
      this.#unread.unshift(given);
      this.#unreadBytes += given.length;
    }
  }

  #takeUnread(most: number): Buffer {
    const all = Buffer.concat(this.#unread);
    const given = all.subarray(0, most);
    this.#unread = given.length < all.length ? [all.subarray(given.length)] : [];
    this.#unreadBytes -= given.length;
    return given;
  }
}
