/**
 * `.llmfs` in the mount's root: the control surface, as files.
 *
 * It can be reached by name and is absent from listings, so that `tar`, `git` and `rm -rf *` never see it. It is not
 * part of the tree: its inodes have numbers of their own, far above the tree's. The content of a control file is
 * produced for each open, and the kernel caches none of it.
 */
import { CONTROL_NAME } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import type { Caller, Header, Parked } from "../../fuse/ops.ts";
import type { StructValue } from "../../fuse/wire.ts";
import { Directory } from "../../tree/directory.ts";
import { RegularFile } from "../../tree/file.ts";
import type { Inode, Owner } from "../../tree/inode.ts";
import { components, toBytes } from "../../tree/path.ts";
import { Space } from "../../tree/space.ts";
import type { Tree } from "../../tree/tree.ts";
import { isWritable, O_NONBLOCK } from "../handles.ts";

const FIRST_INO = 2 ** 48;
const FIRST_FH = 2 ** 40;

/**
 * The kernel caches nothing of these files. It also sends no FLUSH when one is closed, because not even SIGKILL ends
 * the wait for the answer to a FLUSH.
 */
const ALWAYS = abi.FOPEN_DIRECT_IO | abi.FOPEN_NOFLUSH;

/** An open control file. */
export interface ControlHandle {
  /** Fills `target` with the bytes at `offset` and returns their number. Throws FsError. */
  read(offset: number, target: Buffer, header: Header): number | Parked;
  /** Accepts bytes and returns how many. Called only if the file was opened for writing. Throws FsError. */
  write?(data: Uint8Array, caller: Caller): number;
  /** Handles ioctl(2). Absent if the file accepts no commands. Throws FsError. */
  command?(code: number, data: Uint8Array, header: Header): void;
  /** Ends the wait of a parked read with EINTR. Returns true if the read waited here. */
  leave?(unique: number): boolean;
  /** Called when the file is closed, read to its end or not. */
  close?(): void;
}

/** A control file that can be read. */
export type ReadableFile = (opener?: Opener) => ControlHandle;

/** Who opens a control file. */
export type Opener = Pick<Caller, "pid" | "uid">;

/** A control file that can also be written. `writes`: it was opened for writing; `waits`: reads may wait. */
export interface DialogueFile {
  readonly dialogue: (writes: boolean, waits: boolean) => ControlHandle;
}

/** A control file that grows, and is read from its beginning without seeking. */
export interface GrowingFile {
  readonly follow: () => ControlHandle;
  readonly size: () => number;
}

type OpenableFile = ReadableFile | DialogueFile | GrowingFile;

/** The files in `.llmfs`, by name, and how each is opened. */
export type ControlFiles = Readonly<Record<string, OpenableFile>>;

export class ControlDirectory {
  /** Undefined if there is no control surface. */
  readonly directory: Directory | undefined;
  readonly #openers = new Map<Inode, OpenableFile>();
  readonly #handles = new Map<number, ControlHandle>();
  #nextFh = FIRST_FH;

  /** `owner` owns the directory, whoever owns the tree according to a snapshot. */
  constructor(tree: Tree, files: ControlFiles | undefined, owner: Owner = tree.root) {
    if (files === undefined) return;
    let ino = FIRST_INO;
    const space = new Space();
    this.directory = new Directory(ino++, 0o500, owner, tree.clock);
    this.directory.parent = tree.root;
    for (const [name, opener] of Object.entries(files)) {
      const file = new RegularFile(ino++, "dialogue" in opener ? 0o600 : 0o400, owner, tree.clock, space);
      file.nlink = 1;
      file.noteFirstName();
      this.directory.insert(name, file);
      this.#openers.set(file, opener);
    }
  }

  /** Whether the name is reserved, so that nothing in the tree may have it. */
  get isReserved(): boolean {
    return this.directory !== undefined;
  }

  /** Whether a path below the root is the reserved name, or starts with it. */
  reserves(path: string): boolean {
    return this.isReserved && components(toBytes(path))[0] === CONTROL_NAME;
  }

  owns(inode: Inode): boolean {
    return inode.ino >= FIRST_INO;
  }

  /** The size that a control file reports. */
  sizeOf(file: RegularFile): number {
    const opener = this.#openers.get(file);
    return opener !== undefined && typeof opener !== "function" && "size" in opener ? opener.size() : 0;
  }

  /** Throws EACCES when a read-only file is opened for writing. */
  open(file: RegularFile, flags: number, caller?: Opener): StructValue<typeof abi.openOut> {
    const opener = this.#openers.get(file);
    if (opener === undefined) throw new FsError("ENOENT");
    const writes = isWritable(flags);
    const fh = this.#nextFh++;
    if ("dialogue" in opener) {
      this.#handles.set(fh, opener.dialogue(writes, (flags & O_NONBLOCK) === 0));
      // A stream has no position. With a position, a waiting read would block every write(2) to the same descriptor.
      return { fh, open_flags: ALWAYS | abi.FOPEN_STREAM, backing_id: 0 };
    }
    if (writes) throw new FsError("EACCES", "this control file is read-only");
    if (typeof opener === "function") {
      this.#handles.set(fh, opener(caller));
      return { fh, open_flags: ALWAYS, backing_id: 0 };
    }
    this.#handles.set(fh, opener.follow());
    return { fh, open_flags: ALWAYS | abi.FOPEN_STREAM, backing_id: 0 };
  }

  /** Returns undefined if the handle does not belong to a control file. */
  write(fh: number, data: Uint8Array, caller: Caller): number | undefined {
    if (fh < FIRST_FH) return undefined;
    const handle = this.#handles.get(fh);
    if (handle?.write === undefined) throw new FsError("EBADF");
    return handle.write(data, caller);
  }

  /** Reads at `offset`. Returns undefined if the handle does not belong to a control file. */
  read(fh: number, offset: number, size: number, target: Buffer, header: Header): number | Parked | undefined {
    if (fh < FIRST_FH) return undefined;
    const handle = this.#handles.get(fh);
    if (handle === undefined) throw new FsError("EBADF");
    return handle.read(offset, target.subarray(0, size), header);
  }

  /** Throws ENOSYS, as for an operation that does not exist, if the file accepts no commands. */
  command(fh: number, code: number, data: Uint8Array, header: Header): void {
    const handle = this.#handles.get(fh);
    if (handle?.command === undefined) throw new FsError("ENOSYS");
    handle.command(code, data, header);
  }

  /** Like ControlHandle.leave, for any handle. */
  leave(unique: number): boolean {
    for (const handle of this.#handles.values()) if (handle.leave?.(unique) === true) return true;
    return false;
  }

  /** Returns true if the handle belonged to a control file. */
  release(fh: number): boolean {
    this.#handles.get(fh)?.close?.();
    return this.#handles.delete(fh);
  }
}
