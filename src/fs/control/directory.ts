/**
 * `.llmfs` in the mount's root: the control surface, as files.
 *
 * It is reachable by name and absent from listings, so that `tar`, `git` and `rm -rf *` never meet it. It is no part of
 * the tree: its inodes have numbers of their own, far above the tree's. A control file's content is produced again for
 * every open, and belongs to it: the kernel keeps none of it.
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
 * The kernel keeps nothing of them. It asks for nothing when one is closed either: not even SIGKILL ends the wait for the
 * answer to FLUSH.
 */
const ALWAYS = abi.FOPEN_DIRECT_IO | abi.FOPEN_NOFLUSH;

/** An open control file. */
export interface ControlHandle {
  /** What is at `offset`: how many bytes were put into `target`. Throws FsError. */
  read(offset: number, target: Buffer, header: Header): number | Parked;
  /** Takes bytes, and returns how many of them. Only where it was opened for writing. Throws FsError. */
  write?(data: Uint8Array, caller: Caller): number;
  /** What ioctl(2) says. Absent: nothing can be said to it. Throws FsError. */
  command?(code: number, data: Uint8Array, header: Header): void;
  /** Ends the wait of a read that was parked, with EINTR: true if it waited here. */
  leave?(unique: number): boolean;
  /** The file is closed, read to its end or not. */
  close?(): void;
}

/** A control file that is read. */
export type ReadableFile = () => ControlHandle;

/** A control file that can be written to, too: `writes` says whether it was opened for that, `waits` whether reads may wait. */
export interface DialogueFile {
  readonly dialogue: (writes: boolean, waits: boolean) => ControlHandle;
}

/** What `.llmfs` holds, by name, and what an open of it is. */
export type ControlFiles = Readonly<Record<string, ReadableFile | DialogueFile>>;

export class ControlDirectory {
  /** Undefined when there is no control surface. */
  readonly directory: Directory | undefined;
  readonly #openers = new Map<Inode, ReadableFile | DialogueFile>();
  readonly #handles = new Map<number, ControlHandle>();
  #nextFh = FIRST_FH;

  /** `owner`: whose it is, whoever a snapshot says that the tree belongs to. */
  constructor(tree: Tree, files: ControlFiles | undefined, owner: Owner = tree.root) {
    if (files === undefined) return;
    let ino = FIRST_INO;
    const space = new Space();
    this.directory = new Directory(ino++, 0o500, owner, tree.clock);
    this.directory.parent = tree.root;
    for (const [name, opener] of Object.entries(files)) {
      const file = new RegularFile(ino++, typeof opener === "function" ? 0o400 : 0o600, owner, tree.clock, space);
      file.nlink = 1;
      file.named();
      this.directory.insert(name, file);
      this.#openers.set(file, opener);
    }
  }

  /** Whether the name is taken, so that nothing of the tree may bear it. */
  get isReserved(): boolean {
    return this.directory !== undefined;
  }

  /** Whether a path below the root would take the name, or begins with it. */
  reserves(path: string): boolean {
    return this.isReserved && components(toBytes(path))[0] === CONTROL_NAME;
  }

  owns(inode: Inode): boolean {
    return inode.ino >= FIRST_INO;
  }

  /** Throws EACCES for an open for writing of a read-only file. */
  open(file: RegularFile, flags: number): StructValue<typeof abi.openOut> {
    const opener = this.#openers.get(file);
    if (opener === undefined) throw new FsError("ENOENT");
    const writes = isWritable(flags);
    const fh = this.#nextFh++;
    if (typeof opener !== "function") {
      this.#handles.set(fh, opener.dialogue(writes, (flags & O_NONBLOCK) === 0));
      // A stream has no position: else a read that waits would keep every write(2) to the same descriptor waiting.
      return { fh, open_flags: ALWAYS | abi.FOPEN_STREAM, backing_id: 0 };
    }
    if (writes) throw new FsError("EACCES", "this control file is read-only");
    this.#handles.set(fh, opener());
    return { fh, open_flags: ALWAYS, backing_id: 0 };
  }

  /** Undefined when the handle is not one of ours. */
  write(fh: number, data: Uint8Array, caller: Caller): number | undefined {
    if (fh < FIRST_FH) return undefined;
    const handle = this.#handles.get(fh);
    if (handle?.write === undefined) throw new FsError("EBADF");
    return handle.write(data, caller);
  }

  /** What is at `offset`. Undefined when the handle is not one of ours. */
  read(fh: number, offset: number, size: number, target: Buffer, header: Header): number | Parked | undefined {
    if (fh < FIRST_FH) return undefined;
    const handle = this.#handles.get(fh);
    if (handle === undefined) throw new FsError("EBADF");
    return handle.read(offset, target.subarray(0, size), header);
  }

  /** Throws ENOSYS, as if there were no such operation, where the handle takes no commands. */
  command(fh: number, code: number, data: Uint8Array, header: Header): void {
    const handle = this.#handles.get(fh);
    if (handle?.command === undefined) throw new FsError("ENOSYS");
    handle.command(code, data, header);
  }

  /** As ControlHandle.leave, of whichever handle. */
  leave(unique: number): boolean {
    for (const handle of this.#handles.values()) if (handle.leave?.(unique) === true) return true;
    return false;
  }

  /** True when the handle was one of ours. */
  release(fh: number): boolean {
    this.#handles.get(fh)?.close?.();
    return this.#handles.delete(fh);
  }
}
