/**
 * Passthrough: the kernel reads and writes a file's store by itself, without sending requests.
 *
 * It needs Linux 6.9 and CAP_SYS_ADMIN in the initial user namespace. The kernel's rules:
 * - A store is registered with the device, which returns a backing id. An open that is answered with the id passes
 *   through.
 * - All concurrent opens of one inode must use the same mode, cached or passed through, and the same store; otherwise
 *   they fail with EIO. So the first open decides until the last handle is released.
 * - Pages that the kernel cached during a cached open are out of date after a write that passed through. The next
 *   cached open must not reuse them.
 *
 * Files that are written pass through, and large files always do. Small files that are only read are faster in the
 * kernel's page cache. A small file goes back to the heap when no program uses it and requests pause, or when stores
 * become many. Its store is then reused for the next new file.
 *
 * A mapping belongs to the store, and outlives the handle it was made through. Stores through a mapping change the
 * times, and the kernel's FUSE code does not notice. So while a writable mapping may exist, the kernel must not cache
 * attributes.
 */
import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import { wordsOf } from "../../fuse/wire.ts";
import * as libc from "../../libc.ts";
import { FdStore, MOST_SPARE, type Store } from "../../tree/content/store.ts";
import type { RegularFile } from "../../tree/file.ts";
import { S_ISGID, S_ISUID } from "../../tree/inode.ts";
import { isWritable, O_ACCMODE, O_RDWR, O_WRONLY } from "../handles.ts";
import { WatchedFiles } from "./watched-files.ts";

/** How many files may wait to go back to the heap before some of them are handled at once, and how many are. */
const SETTLE_AT = MOST_SPARE;
const SETTLE_AT_ONCE = 16;
/** How many go back between two looks for a request: about 50 µs. */
const SETTLE_SLICE = 4;
/** How many empty stores are ready for new files, and how many are made between two looks for a request: about 60 µs. */
const READY = 512;
const READY_SLICE = 4;
/**
 * How often it is tried. A mapping may last as long as its process; the kernel's own references end within
 * microseconds.
 */
const ATTEMPTS = 3;

interface HandleUse {
  /** The number of open handles. */
  handles: number;
  readonly passthrough: boolean;
  /** Whether the file may be mapped for writing, which requires a handle for reading and writing (mmap(2), EACCES). */
  storable: boolean;
}

export interface PassthroughOptions {
  readonly log: (text: string) => void;
  /** Whether a snapshot that is being saved needs to know of changes to the file before they happen. */
  readonly isBeingSaved: (file: RegularFile) => boolean;
  /** Called before the kernel may write to a file that it could only read so far. */
  readonly beforeWrites: (file: RegularFile) => void;
  /** See Stores.prepare. */
  readonly prepareStore: (enough: number) => FdStore | undefined;
  /** Called when the kernel wrote to a file. `taken`: generated content became static by that. */
  readonly onWrite: (file: RegularFile, taken: boolean) => void;
}

export class Passthrough {
  /** The descriptor of /dev/fuse once the kernel has granted passthrough; undefined before that, and if it never does. */
  #device: number | undefined;
  readonly #options: PassthroughOptions;
  /** Files with open handles. */
  readonly #uses = new Map<RegularFile, HandleUse>();
  readonly #watched = new WatchedFiles();
  readonly #backingIds = new Map<FdStore, number>();
  /**
   * Files without handles whose bytes are in a store and might go back to the heap, with the number of failed attempts.
   */
  readonly #settling = new Map<RegularFile, number>();
  /** Files whose pages in the kernel's cache may be out of date. */
  readonly #stale = new WeakSet<RegularFile>();

  constructor(options: PassthroughOptions) {
    this.#options = options;
  }

  /** Call this when the handshake grants passthrough. */
  enable(device: number): void {
    this.#device = device;
  }

  /**
   * Decides how a file is opened, for the reply. Every call is matched by one of `released`. With `keepsNothing` the
   * kernel must not cache the attributes from now on, and must forget those that it has.
   */
  open(file: RegularFile, flags: number): { open_flags: number; backing_id: number; keepsNothing: boolean } {
    const use = this.#uses.get(file);
    // A mapping may be left from an earlier use.
    const storable = (flags & O_ACCMODE) === O_RDWR || (use === undefined && file.shared);
    const keepsNothing = storable && use?.storable !== true;
    const passthrough = use === undefined ? this.#wants(file, flags) : use.passthrough;
    const id = passthrough ? this.#backingId(file, flags) : undefined;
    if (use === undefined) this.#uses.set(file, { handles: 1, passthrough: id !== undefined, storable });
    else {
      use.handles++;
      use.storable ||= storable;
    }
    if (id === undefined) {
      const keep = this.#stale.delete(file) ? 0 : abi.FOPEN_KEEP_CACHE;
      return { open_flags: keep | abi.FOPEN_NOFLUSH, backing_id: 0, keepsNothing: false };
    }
    this.#settling.delete(file);
    if (use !== undefined && isWritable(flags) && !this.#watched.has(file)) this.#options.beforeWrites(file);
    if (storable || isWritable(flags)) this.#watched.add(file);
    if (isWritable(flags)) this.#stale.add(file);
    return { open_flags: abi.FOPEN_PASSTHROUGH | abi.FOPEN_NOFLUSH, backing_id: id, keepsNothing };
  }

  /** The files that the kernel may write by itself. */
  get writable(): Iterable<RegularFile> {
    return this.#watched;
  }

  /** Reports what the kernel has written so far. */
  bringIn(): void {
    this.#watched.bringIn();
  }

  /** Whether the file may change without the kernel's FUSE code noticing: through a mapping of its store. */
  mayChangeUnseen(file: RegularFile): boolean {
    const use = this.#uses.get(file);
    if (use?.passthrough === true) return use.storable;
    if (!file.shared) return false;
    // The file is closed, but was still mapped when last checked.
    this.#settling.set(file, 0);
    return !file.unshare(isFree);
  }

  /** Whether no program has the file open or mapped. */
  isFree(file: RegularFile): boolean {
    return !this.#uses.has(file) && file.unshare(isFree);
  }

  /** Whether the kernel's own cache may have dirty pages of the file, from a mapping. */
  hasPages(file: RegularFile): boolean {
    const use = this.#uses.get(file);
    return use !== undefined && !use.passthrough && use.storable;
  }

  release(file: RegularFile): void {
    const use = this.#uses.get(file);
    if (use === undefined) throw new Error(`inode ${file.ino}: released more often than opened`);
    if (--use.handles > 0) return;
    this.#uses.delete(file);
    if (!use.passthrough) return;
    if (!use.storable) file.endSharing();
    if (file.nlink > 0 || use.storable) file.bringIn();
    if (file.nlink === 0) return;
    // Nobody wrote to it, and the next new file can have its store.
    if (!use.storable && file.size === 0 && this.#settleOne(file)) return;
    this.#settling.set(file, 0);
    if (this.#settling.size > SETTLE_AT) this.settle(SETTLE_AT_ONCE);
  }

  /**
   * Moves at most `count` small files back to the heap. Returns whether more can be moved now. While requests stream in
   * it is better not to: programs often write many files, and read them or remove them soon.
   */
  settle(count = SETTLE_SLICE): boolean {
    const more = this.#settling.size >= count;
    // A file that is put back comes last, and is not tried again here.
    let left = Math.min(count, this.#settling.size);
    for (const [file, attempts] of this.#settling) {
      if (left-- === 0) break;
      this.#settling.delete(file);
      if (!this.#settleOne(file) && attempts + 1 < ATTEMPTS) this.#settling.set(file, attempts + 1);
    }
    return more;
  }

  /**
   * Makes a few empty stores, because making one takes longer than the rest of a request. Returns whether more are missing.
   */
  prepare(): boolean {
    for (let made = 0; made < READY_SLICE && this.#device !== undefined; made++) {
      const store = this.#options.prepareStore(READY);
      if (store === undefined || this.#register(store, this.#device) === undefined) return false;
    }
    return this.#device !== undefined;
  }

  /** Returns false if a program still has the file. */
  #settleOne(file: RegularFile): boolean {
    if (this.#uses.has(file) || !file.stored) return true;
    // A mapping outlives the handle it was made through, and writes to it must not be lost.
    if (file.shared && !file.unshare(isFree)) return false;
    let free = true;
    const store = file.demote((candidate) => {
      free = isFree(candidate);
      return free;
    });
    store?.close();
    if (!file.mayHaveNews) this.#watched.delete(file);
    return free;
  }

  #wants(file: RegularFile, flags: number): boolean {
    if (this.#device === undefined) return false;
    // A write to a file without content must reach us: it prevents the generation.
    if (file.lazy) return false;
    // A write that passes through does not clear these bits.
    if (isWritable(flags) && (file.mode & (S_ISUID | S_ISGID)) !== 0) return false;
    // Until a snapshot has the content, writes must be reported. If the kernel writes the file already, it knows that.
    if (isWritable(flags)) return file.shared || !this.#options.isBeingSaved(file);
    return file.stored;
  }

  #backingId(file: RegularFile, flags: number): number | undefined {
    if (this.#device === undefined) return undefined;
    const store = this.#share(file);
    if (!(store instanceof FdStore)) {
      file.unshare();
      return undefined;
    }
    // A program that may read a file may map it.
    if ((flags & O_ACCMODE) !== O_WRONLY) store.mappable = true;
    const id = this.#backingIds.get(store) ?? this.#register(store, this.#device);
    if (id === undefined) file.unshare();
    return id;
  }

  /** Registers a store with the device, and returns its id. Undefined if the kernel refuses: then it always will. */
  #register(store: FdStore, device: number): number | undefined {
    abi.backingMap.encode(REQUEST, REQUEST_WORDS, 0, { fd: store.fd, flags: 0 });
    const id = libc.ioctl(device, abi.FUSE_DEV_IOC_BACKING_OPEN, REQUEST);
    if (id <= 0) {
      // EPERM in a user namespace, whatever the handshake said.
      this.#options.log(`no passthrough: the kernel refuses a backing file (errno ${-id})`);
      this.#device = undefined;
      return undefined;
    }
    this.#backingIds.set(store, id);
    store.onClose = () => this.#onClosed(store, id);
    return id;
  }

  /** Returns undefined if there is no room to move the bytes, or no descriptor. */
  #share(file: RegularFile): Store | undefined {
    try {
      return file.share((taken) => this.#options.onWrite(file, taken));
    } catch (error) {
      if (error instanceof FsError) return undefined;
      throw error;
    }
  }

  #onClosed(store: FdStore, id: number): void {
    this.#backingIds.delete(store);
    if (this.#device === undefined) return;
    CLOSE_REQUEST.writeUInt32LE(id, 0);
    libc.ioctl(this.#device, abi.FUSE_DEV_IOC_BACKING_CLOSE, CLOSE_REQUEST);
  }
}

/** Whether no other process has the store open or mapped. */
function isFree(store: Store): boolean {
  return !(store instanceof FdStore) || store.isFree();
}

const REQUEST = Buffer.alloc(abi.backingMap.size);
const REQUEST_WORDS = wordsOf(REQUEST);
const CLOSE_REQUEST = Buffer.alloc(4);
