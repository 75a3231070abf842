/**
 * The operation table: one row for each operation of the kernel's protocol. The types of requests, replies and handlers
 * derive from it, and so do parsing, ENOSYS for missing handlers, the debug log, and the in-memory kernel of the tests.
 *
 * A row contains the opcode, the struct after the request's header, and the type of the reply. Handlers get the decoded
 * struct and the header, and return the reply, throw FsError, or return PARKED and answer later through
 * `Session.answer`. What each operation does to the tree is described in `fs/`.
 */

import type { FsError } from "../errno.ts";
import type { Extent } from "../libc.ts";
import * as abi from "./abi.ts";
import { name, rest, type Struct, type StructValue, struct } from "./wire.ts";

/** The part of the request's header that handlers get. One object, which is reused: copy what must outlive the call. */
export interface Header {
  opcode: number;
  /** Identifies the request until it is answered. */
  unique: number;
  /** The inode that the request is about; 0 if the operation has none. */
  nodeid: number;
  uid: number;
  gid: number;
  /** The caller's thread id; 0 if the kernel itself asks (read-ahead, write-back). */
  pid: number;
}

/** The thread that sent a request, and its user and group. */
export type Caller = Readonly<Pick<Header, "uid" | "gid" | "pid">>;

/** Returned by a handler that will answer later. */
export const PARKED = Symbol("parked");
export type Parked = typeof PARKED;

/**
 * The type of a reply:
 * - a struct: the handler returns its object
 * - "data": the handler fills `target` and returns how many bytes it wrote, or an Extent that says where they are
 * - "nothing": only the header; the handler returns nothing
 * - "silence": there is no reply at all (forget)
 */
export type ReplyKind = Struct<unknown> | "data" | "nothing" | "silence";

type ReplyValue<R> = R extends "data" ? number | Extent : R extends "nothing" | "silence" ? void : StructValue<R>;

function op<Q, R extends ReplyKind>(
  opcode: number,
  request: Struct<Q>,
  reply: R,
): { readonly opcode: number; readonly request: Struct<Q>; readonly reply: R } {
  return { opcode, request, reply };
}

const none = struct({});
const named = struct({ name });
const anything = struct({ body: rest });

export const OPS = {
  lookup: op(1, named, abi.entryOut),
  forget: op(2, abi.forgetIn, "silence"),
  getattr: op(3, abi.getattrIn, abi.attrOut),
  setattr: op(4, abi.setattrIn, abi.attrOut),
  readlink: op(5, none, "data"),
  symlink: op(6, struct({ name, target: name }), abi.entryOut),
  mknod: op(8, abi.mknodIn, abi.entryOut),
  mkdir: op(9, abi.mkdirIn, abi.entryOut),
  unlink: op(10, named, "nothing"),
  rmdir: op(11, named, "nothing"),
  rename: op(12, abi.renameIn, "nothing"),
  link: op(13, abi.linkIn, abi.entryOut),
  open: op(14, abi.openIn, abi.openOut),
  read: op(15, abi.readIn, "data"),
  write: op(16, abi.writeIn, abi.writeOut),
  statfs: op(17, none, abi.statfsOut),
  release: op(18, abi.releaseIn, "nothing"),
  fsync: op(20, abi.fsyncIn, "nothing"),
  setxattr: op(21, abi.setxattrIn, "nothing"),
  /** With size 0 the caller asks for the length: the data is then a getxattr_out. */
  getxattr: op(22, abi.getxattrIn, "data"),
  listxattr: op(23, abi.listxattrIn, "data"),
  removexattr: op(24, named, "nothing"),
  flush: op(25, abi.flushIn, "nothing"),
  /** Answered by the session. */
  init: op(26, anything, abi.initOut),
  opendir: op(27, abi.openIn, abi.openOut),
  readdir: op(28, abi.readIn, "data"),
  releasedir: op(29, abi.releaseIn, "nothing"),
  fsyncdir: op(30, abi.fsyncIn, "nothing"),
  getlk: op(31, anything, "data"),
  setlk: op(32, anything, "nothing"),
  setlkw: op(33, anything, "nothing"),
  access: op(34, abi.accessIn, "nothing"),
  create: op(35, abi.createIn, abi.createOut),
  /** Answered by the session. It has a reply of its own only if it comes too early. */
  interrupt: op(36, abi.interruptIn, "silence"),
  bmap: op(37, anything, "data"),
  destroy: op(38, none, "nothing"),
  ioctl: op(39, abi.ioctlIn, abi.ioctlOut),
  poll: op(40, anything, "data"),
  notifyReply: op(41, anything, "silence"),
  batchForget: op(42, abi.batchForgetIn, "silence"),
  fallocate: op(43, abi.fallocateIn, "nothing"),
  readdirplus: op(44, abi.readIn, "data"),
  rename2: op(45, abi.rename2In, "nothing"),
  lseek: op(46, abi.lseekIn, abi.lseekOut),
  copyFileRange: op(47, abi.copyFileRangeIn, abi.writeOut),
  setupmapping: op(48, anything, "nothing"),
  removemapping: op(49, anything, "nothing"),
  syncfs: op(50, abi.syncfsIn, "nothing"),
  tmpfile: op(51, abi.createIn, abi.createOut),
  /** Sent instead of getattr when the caller asks for the birth time. */
  statx: op(52, abi.statxIn, abi.statxOut),
  copyFileRange64: op(53, abi.copyFileRangeIn, abi.lseekOut),
} as const;

export type OpName = keyof typeof OPS;
export type Request<K extends OpName> = StructValue<(typeof OPS)[K]["request"]>;
export type Reply<K extends OpName> = ReplyValue<(typeof OPS)[K]["reply"]>;

/**
 * `target` receives "data"; it is as large as the largest reply. A handler may return a frequent error, because throwing one
 * takes longer than the rest of a request.
 */
export type Handler<K extends OpName> = (
  request: Request<K>,
  header: Header,
  target: Buffer,
) => Reply<K> | Parked | FsError;

/**
 * Answers requests: one method for each operation. A missing method is ENOSYS, which the kernel may remember forever.
 */
export type Filesystem = { readonly [K in OpName]?: Handler<K> };
