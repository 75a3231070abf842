/** Operations on regular files: open, create, read, write, fallocate, lseek, copy_file_range, release. */
import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import { type Caller, type Filesystem, type Header, PARKED } from "../../fuse/ops.ts";
import type { StructValue } from "../../fuse/wire.ts";
import { atMost, plus, type Wide } from "../../int64.ts";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../../libc.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { FsContext } from "../context.ts";
import { isWritable, O_ACCMODE, O_APPEND, O_NOATIME, O_TRUNC, O_WRONLY } from "../handles.ts";
import type { Opening } from "../lazy/expiry.ts";
import { nextMoment } from "../lazy/freshness.ts";
import type { Opener } from "../lazy/revalidate.ts";
import { dropCapabilities, dropSetId, ownerOf, replyEntry } from "./attributes.ts";
import { requireChangeable } from "./names.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const COPY_CHUNK = 1 << 20;
/** Nothing else is answered in the meantime. copy_file_range(2) may copy less than it was asked to. */
const MOST_COPIED = 8 * COPY_CHUNK;
/** From this size on, splicing is cheaper than copying. */
const EXTENT_FROM = 1 << 16;

export function fileOperations(mount: FsContext) {
  const { tree, nodes, handles, pending, control, passthrough } = mount;

  const runAfterwards = (work: () => void) => mount.session().runAfterwards(work);

  /** The file that a request is about: that of its handle, if it has one. */
  function fileOf(fh: number, nodeid: number): RegularFile {
    return fh === 0 ? nodes.getFile(nodeid) : handles.get(fh).file;
  }

  /** `cache`: whether the kernel keeps its cached pages of the file. */
  function openFile(
    file: RegularFile,
    flags: number,
    cache: "keep" | "drop" | "bypass",
  ): StructValue<typeof abi.openOut> {
    mount.repeatInvalidation(file);
    if (file.nlink === 0) mount.unnamed.onOpen(file);
    const { open_flags, backing_id, keepsNothing } = passthrough.open(file, flags);
    if (keepsNothing) mount.invalidate(file, false);
    const keeps = cache === "keep" || (open_flags & abi.FOPEN_PASSTHROUGH) !== 0;
    const dropped = keeps ? open_flags : open_flags & ~abi.FOPEN_KEEP_CACHE;
    return {
      fh: handles.open(file, flags),
      open_flags: !keeps && cache === "bypass" ? dropped | abi.FOPEN_DIRECT_IO : dropped,
      backing_id,
    };
  }

  /** The open comes first, because it decides how long the kernel may cache the attributes. */
  function createFile(file: RegularFile, flags: number) {
    const open = openFile(file, flags, "keep");
    return { entry: replyEntry(mount, file), open };
  }

  /** Reads of cached pages are not reported. Where a read must update the atime, the pages must not be cached. */
  function marksReads(file: RegularFile, flags: number): boolean {
    return (flags & (O_NOATIME | O_TRUNC)) === 0 && (flags & O_ACCMODE) !== O_WRONLY && file.marksReads(tree.clock);
  }

  /** An open that is answered later. */
  function deferOpen(unique: number, opener: Opener, flags: number): Opening {
    return {
      unique,
      opener,
      answer(file) {
        // The file was written while the open waited, and possibly is being written now. Until the kernel has finished
        // that write, it ignores the size that we report, and would fill up what it reads with zeros. Direct reads use
        // our size.
        const direct = file.state === "static" && handles.isBeingWritten(file);
        if (!isWritable(flags)) mount.copyUps.beforeOpen(file, opener);
        const reply = openFile(file, flags, direct ? "bypass" : "keep");
        mount.copyUps.onOpen(reply.fh, file, opener.pid, flags, true);
        // The caller is gone and will not release the handle.
        if (!mount.session().answer(unique, "open", reply)) closeFile(reply.fh);
      },
      fail: (error) => mount.session().fail(unique, error),
    };
  }

  function closeFile(fh: number): void {
    const { file, flags } = handles.get(fh);
    mount.claimUnseenWrites(file);
    // The kernel may have written, and nobody may ever ask for the file's times.
    if (isWritable(flags)) mount.writes++;
    handles.release(fh);
    mount.copyUps.onRelease(fh);
    passthrough.release(file);
    // The last writer has closed the file without writing, so the file reports the claimed size again.
    if (file.lazy && !handles.isBeingWritten(file)) mount.invalidate(file, false);
  }

  function copy(from: RegularFile, at: Wide, to: RegularFile, toAt: Wide, wanted: Wide, caller: Caller): number {
    const length = atMost(wanted, MOST_COPIED);
    mount.beforeChange(to, Number(toAt), length);
    const buffer = new Uint8Array(Math.min(length, COPY_CHUNK));
    let done = 0;
    while (done < length) {
      const piece = buffer.subarray(0, Math.min(length - done, buffer.length));
      const got = from.read(plus(at, done), piece);
      if (got === 0) break;
      const put = writeSome(to, plus(toAt, done), piece.subarray(0, got), done > 0);
      done += put;
      if (put < got) break;
    }
    if (done === 0) return 0;
    if (caller.uid !== 0) dropSetId(to, caller);
    dropCapabilities(to);
    mount.onWrite(to);
    to.touchMtime(tree.clock);
    return done;
  }

  function copyRange(request: StructValue<typeof abi.copyFileRangeIn>, header: Header): number {
    const { fh_in, off_in, nodeid_out, fh_out, off_out, len } = request;
    const from = fileOf(fh_in, header.nodeid);
    const copied = copy(from, off_in, fileOf(fh_out, nodeid_out), off_out, len, header);
    const unmarked = fh_in !== 0 && (handles.get(fh_in).flags & O_NOATIME) !== 0;
    if (copied > 0 && !unmarked && from.marksReads(tree.clock)) {
      from.touchAtime(tree.clock);
      // To the kernel the source is unchanged.
      mount.invalidate(from, false);
    }
    return copied;
  }

  /** The kernel accepts a smaller size only when it asks for it. */
  function askSizeFirst(opener: Opener, file: RegularFile): FsError {
    return mount.revalidation.lookAgain(opener, file, "the kernel must ask for the size before it writes");
  }

  return {
    open({ flags, open_flags }, header) {
      const file = nodes.getFile(header.nodeid);
      const opener = mount.revalidation.identifyOpener(header.pid);
      if (control.owns(file)) return control.open(file, flags, header);
      if (isWritable(flags)) mount.replacement.requireCurrent(file, opener);
      if ((flags & O_TRUNC) !== 0) {
        mount.beforeChange(file);
        file.truncate(0);
        mount.onWrite(file);
        mount.regen.discard(file);
        file.touchMtime(tree.clock);
        if ((open_flags & abi.FUSE_OPEN_KILL_SUIDGID) !== 0) dropSetId(file, header);
        dropCapabilities(file);
      } else if (file.lazy && !mount.claimUnseenWrites(file)) {
        if ((flags & O_ACCMODE) !== O_WRONLY) {
          const opening = deferOpen(header.unique, opener, flags);
          const since = nextMoment();
          pending.wait(file, {
            unique: opening.unique,
            pid: header.pid,
            done: () => {
              if (isWritable(flags) && opener.mayLookAgain(file)) opening.fail(askSizeFirst(opener, file));
              else if (isWritable(flags) || !mount.expiry.open(file, opening, since)) opening.answer(file);
            },
            fail: opening.fail,
          });
          return PARKED;
        }
        // Writers see an empty file. The kernel's cached size differs, and it would append after that.
        mount.invalidate(file, false);
        if (opener.mayLookAgain(file)) throw askSizeFirst(opener, file);
      } else if (isWritable(flags)) mount.expiry.claim(file);
      else {
        const opening = deferOpen(header.unique, opener, flags);
        const comesBack = opener.comesBackFor(file) || mount.copyUps.comesBack(file, header.pid);
        if (!comesBack) {
          if (mount.regen.open(file, opening) || mount.expiry.open(file, opening, nextMoment())) return PARKED;
          mount.replacement.requireCurrent(file, opener);
          mount.copyUps.beforeOpen(file, opener);
        }
        const reply = openFile(file, flags, marksReads(file, flags) ? "drop" : "keep");
        if (comesBack) mount.copyUps.onReturn(reply.fh, file, header.pid);
        else mount.copyUps.onOpen(reply.fh, file, header.pid, flags, false);
        return reply;
      }
      return openFile(file, flags, marksReads(file, flags) ? "drop" : "keep");
    },

    create({ name, mode, umask, flags }, header) {
      const directory = requireChangeable(mount, header.nodeid, name);
      return createFile(tree.createFile(directory, name, mode & 0o7777, ownerOf(header), umask), flags);
    },

    tmpfile({ name, mode, umask, flags }, header) {
      const directory = requireChangeable(mount, header.nodeid, name);
      const file = tree.tmpfile(directory, mode & 0o7777, ownerOf(header), umask);
      mount.unnamed.add(file);
      return createFile(file, flags);
    },

    release({ fh }) {
      if (control.release(fh)) return;
      closeFile(fh);
    },

    read({ fh, offset, size, flags }, header, target) {
      const controlled = control.read(fh, Number(offset), size, target, header);
      if (controlled !== undefined) return controlled;
      const file = fileOf(fh, header.nodeid);
      if ((flags & O_NOATIME) === 0) file.touchAtime(tree.clock);
      const wanted = Math.min(size, target.length);
      const extent = wanted >= EXTENT_FROM ? file.extent(offset, wanted) : undefined;
      return extent ?? file.read(offset, wanted < target.length ? target.subarray(0, wanted) : target);
    },

    write({ fh, offset, size, flags, write_flags, data }, header) {
      if (size !== data.length) throw new FsError("EIO", `write: ${size} bytes announced, ${data.length} sent`);
      const controlled = control.write(fh, data, header);
      if (controlled !== undefined) return { size: controlled };
      const file = fileOf(fh, header.nodeid);
      // The kernel computes the offset of an append from the size that it knows; our size is the one that counts.
      const append = (flags & O_APPEND) !== 0 && (write_flags & abi.FUSE_WRITE_CACHE) === 0;
      const at = append ? file.exactSize : offset;
      mount.beforeChange(file, Number(at), data.length);
      const written = file.write(at, data, runAfterwards);
      mount.onWrite(file);
      if ((write_flags & abi.FUSE_WRITE_KILL_SUIDGID) !== 0) dropSetId(file, header);
      dropCapabilities(file);
      file.touchMtime(tree.clock);
      return { size: written };
    },

    ioctl({ fh, cmd, data }, header) {
      control.command(fh, cmd, data, header);
      return { result: 0, flags: 0, in_iovs: 0, out_iovs: 0 };
    },

    fallocate({ fh, offset, length, mode }, header) {
      const file = fileOf(fh, header.nodeid);
      // As mm/shmem.c:shmem_fallocate(): no other mode is supported.
      if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) !== 0) throw new FsError("EOPNOTSUPP");
      mount.beforeChange(file, Number(offset), Number(length));
      // Unlike WRITE, the request does not say whether the caller may keep them (CAP_FSETID).
      if (header.uid !== 0) dropSetId(file, header);
      dropCapabilities(file);
      if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) file.punch(offset, length);
      else file.allocate(offset, length, (mode & FALLOC_FL_KEEP_SIZE) !== 0);
      mount.onWrite(file);
      file.touchMtime(tree.clock);
    },

    lseek({ fh, offset, whence }, header) {
      const file = fileOf(fh, header.nodeid);
      if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError("EINVAL");
      mount.copyUps.onSeek(fh, whence === SEEK_DATA, offset);
      // A negative offset arrives as one beyond every file.
      const found = whence === SEEK_DATA ? file.nextData(offset) : file.nextHole(offset);
      if (found === undefined) throw new FsError("ENXIO");
      return { offset: found };
    },

    copyFileRange(request, header) {
      return { size: copyRange(request, header) };
    },

    copyFileRange64(request, header) {
      return { offset: copyRange(request, header) };
    },
  } satisfies Filesystem;
}

/** Writes data. If nothing fits, returns 0 if `mayBeNone`, otherwise throws ENOSPC. */
function writeSome(file: RegularFile, offset: Wide, data: Uint8Array, mayBeNone: boolean): number {
  try {
    return file.write(offset, data);
  } catch (error) {
    if (mayBeNone && error instanceof FsError && error.code === "ENOSPC") return 0;
    throw error;
  }
}
