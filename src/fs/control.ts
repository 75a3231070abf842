/**
 * `.llmfs` in the mount's root: the control surface, as files.
 *
 * It is reachable by name and absent from listings, so that `tar`, `git` and `rm -rf *` never meet it. It is no part of
 * the tree: its inodes have numbers of their own, far above the tree's. A control file's content is made when it is
 * opened, and belongs to that open: the kernel keeps none of it.
 */
import { FsError } from "../errno.ts";
import * as abi from "../fuse/abi.ts";
import type { StructValue } from "../fuse/wire.ts";
import { Directory } from "../tree/directory.ts";
import { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import { components, toBytes } from "../tree/path.ts";
import { Space } from "../tree/space.ts";
import type { Tree } from "../tree/tree.ts";
import { writable } from "./handles.ts";

export const CONTROL_NAME = ".llmfs";

const FIRST_INO = 2 ** 48;
const FIRST_FH = 2 ** 40;

/** Makes a control file's content, anew for every open. */
export type Producer = () => Production;

export interface Production {
  /** The next piece; undefined at the end. */
  next(): Uint8Array | undefined;
  /** The file is closed, read to its end or not. */
  close?(): void;
}

/** What `.llmfs` holds, by name. */
export type ControlFiles = Readonly<Record<string, Producer>>;

interface Stream {
  readonly production: Production;
  /** The piece that was made last, and where in the file it begins. */
  piece: Uint8Array;
  start: number;
}

export class Control {
  /** Undefined when there is no control surface. */
  readonly directory: Directory | undefined;
  readonly #producers = new Map<Inode, Producer>();
  readonly #streams = new Map<number, Stream>();
  #nextFh = FIRST_FH;

  constructor(tree: Tree, files: ControlFiles | undefined) {
    if (files === undefined) return;
    let ino = FIRST_INO;
    const owner = { uid: tree.root.uid, gid: tree.root.gid };
    const space = new Space();
    this.directory = new Directory(ino++, 0o500, owner, tree.clock);
    this.directory.parent = tree.root;
    for (const [name, producer] of Object.entries(files)) {
      const file = new RegularFile(ino++, 0o400, owner, tree.clock, space);
      file.nlink = 1;
      this.directory.insert(name, file);
      this.#producers.set(file, producer);
    }
  }

  /** Whether the name is taken, so that nothing of the tree may bear it. */
  get reserved(): boolean {
    return this.directory !== undefined;
  }

  /** Whether a path below the root would take the name, or begins with it. */
  reserves(path: string): boolean {
    return this.reserved && components(toBytes(path))[0] === CONTROL_NAME;
  }

  owns(inode: Inode): boolean {
    return inode.ino >= FIRST_INO;
  }

  /** Throws EACCES when it is to be written. */
  open(file: RegularFile, flags: number): StructValue<typeof abi.openOut> {
    const producer = this.#producers.get(file);
    if (producer === undefined) throw new FsError("ENOENT");
    if (writable(flags)) throw new FsError("EACCES", "this control file can only be read");
    const fh = this.#nextFh++;
    this.#streams.set(fh, { production: producer(), piece: new Uint8Array(0), start: 0 });
    return { fh, open_flags: abi.FOPEN_DIRECT_IO, backing_id: 0 };
  }

  /**
   * What is at `offset`. Programs that seek a little (`head` goes back to where its lines ended) are served from the
   * last piece; one that goes back further gets ESPIPE, as what was there is not kept. Undefined when the handle is not
   * one of ours.
   */
  read(fh: number, offset: number, size: number, target: Buffer): number | undefined {
    if (fh < FIRST_FH) return undefined;
    const stream = this.#streams.get(fh);
    if (stream === undefined) throw new FsError("EBADF");
    if (offset < stream.start) throw new FsError("ESPIPE", "what was there before is not kept");
    let length = 0;
    while (length < size) {
      const within = offset + length - stream.start;
      if (within >= stream.piece.length) {
        const piece = stream.production.next();
        if (piece === undefined) break;
        stream.start += stream.piece.length;
        stream.piece = piece;
        continue;
      }
      const part = stream.piece.subarray(within, within + size - length);
      target.set(part, length);
      length += part.length;
    }
    return length;
  }

  /** True when the handle was one of ours. */
  release(fh: number): boolean {
    this.#streams.get(fh)?.production.close?.();
    return this.#streams.delete(fh);
  }
}

/** A producer of a text that is made at once. */
export function text(make: () => string): Producer {
  return () => {
    let left: Uint8Array | undefined = Buffer.from(make(), "utf8");
    return {
      next() {
        const piece = left;
        left = undefined;
        return piece;
      },
    };
  };
}
