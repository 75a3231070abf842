/**
 * Requests that wait until the kernel has told us what it no longer uses.
 *
 * An unlinked file keeps its space until the kernel releases its handles and forgets its inode. The kernel says both
 * some time after close(2) and unlink(2) have returned, and up to eight later requests may be read before it
 * (fs/fuse/dev.c:fuse_dev_do_read(), forget_batch). So a program that has just removed a file may ask for space that is
 * free for it, but not yet for us. Such a request is put aside until all messages are read that the kernel has queued,
 * and then tried again.
 */
import { FsError } from "../../errno.ts";
import { type Filesystem, type Handler, type Header, type OpName, PARKED, type Request } from "../../fuse/ops.ts";
import type { Session } from "../../fuse/session.ts";
import type { Space } from "../../tree/space.ts";
import { isWritable } from "../handles.ts";

/** The parts of the mount that it uses. */
interface Postponing {
  readonly tree: { readonly space: Space };
  /** Whether there is an inode without a name, which the kernel may be about to give up. */
  readonly unnamed: { readonly any: boolean };
  session(): Session;
}

/** The operations that take space. They change nothing if they fail with ENOSPC. */
const TAKING = [
  "create",
  "tmpfile",
  "mknod",
  "mkdir",
  "symlink",
  "link",
  "rename2",
  "open",
  "write",
  "fallocate",
  "copyFileRange",
  "copyFileRange64",
  "setxattr",
] as const satisfies readonly OpName[];
type TakingOp = (typeof TAKING)[number];

/** No data is returned by these operations. */
const NO_DATA = Buffer.alloc(0);

export class PostponedRequests {
  readonly #mount: Postponing;
  /** Waiting requests by their unique, the first one first, each with what tries it again. */
  readonly #waiting = new Map<number, () => void>();
  /** Whether somebody tries requests again. Before that none is put aside. */
  #retries = false;
  /** Whether some were waiting when `retryOld` was called. */
  #old = false;

  constructor(mount: Postponing) {
    this.#mount = mount;
  }

  get any(): boolean {
    return this.#waiting.size > 0;
  }

  isWaiting(unique: number): boolean {
    return this.#waiting.has(unique);
  }

  /** Tries them again. Call this when no message is left to be read. */
  retry(): void {
    this.#retries = true;
    this.#old = false;
    if (this.#waiting.size === 0) return;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const again of all) again();
  }

  /** Tries them again if they were waiting at the last call. Call this regularly while there are always more messages. */
  retryOld(): void {
    if (this.#old) this.retry();
    else this.#old = this.any;
  }

  /** The operations, those that take space wrapped. */
  wrap(operations: Filesystem): Filesystem {
    const wrapped: Partial<Record<OpName, unknown>> = { ...operations };
    for (const op of TAKING) wrapped[op] = this.#wrap(op, operations[op]);
    // Each handler was replaced by one of the same operation.
    return wrapped as Filesystem;
  }

  #wrap<K extends TakingOp>(op: K, handler: Handler<K> | undefined): Handler<K> | undefined {
    if (handler === undefined) return undefined;
    return (request, header, target) => {
      if (!this.#retries || !this.#mount.unnamed.any) return handler(request, header, target);
      if (this.#mayLackSpace(op, request)) return this.#postpone(op, handler, request, header);
      try {
        const reply = handler(request, header, target);
        return isLack(reply) ? this.#postpone(op, handler, request, header) : reply;
      } catch (error) {
        if (isLack(error)) return this.#postpone(op, handler, request, header);
        throw error;
      }
    };
  }

  /** Whether the request may cause a lack of space that its handler does not notice. */
  #mayLackSpace<K extends TakingOp>(op: K, request: Request<K>): boolean {
    const { space } = this.#mount.tree;
    // These requests have the named fields: see fuse/ops.ts.
    if (op === "write") return !space.hasRoomFor((request as Request<"write">).size);
    // The kernel writes to the file without a request.
    if (op === "create" || op === "tmpfile") return space.isShort;
    return op === "open" && isWritable((request as Request<"open">).flags) && space.isShort;
  }

  #postpone<K extends TakingOp>(op: K, handler: Handler<K>, request: Request<K>, header: Header): typeof PARKED {
    const keptRequest = copyOf(request);
    const keptHeader = { ...header };
    this.#waiting.set(header.unique, () => this.#tryAgain(op, handler, keptRequest, keptHeader));
    return PARKED;
  }

  #tryAgain<K extends TakingOp>(op: K, handler: Handler<K>, request: Request<K>, header: Header): void {
    const session = this.#mount.session();
    try {
      const reply = handler(request, header, NO_DATA);
      if (reply instanceof FsError) session.fail(header.unique, reply);
      // It is neither an error nor PARKED, so it is a reply of the type that this operation has.
      else if (reply !== PARKED) session.answer(header.unique, op, reply as never);
    } catch (error) {
      session.fail(header.unique, error);
    } finally {
      session.runDeferred();
    }
  }
}

function isLack(outcome: unknown): boolean {
  return outcome instanceof FsError && outcome.code === "ENOSPC";
}

/** A copy that does not refer to the buffer that the next message is read into. */
function copyOf<T>(request: T): T {
  const copy: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(request as object))
    copy[field] = value instanceof Uint8Array ? Buffer.from(value) : value;
  return copy as T; // the same fields with the same values
}
