/** Reads whole files from outside, up to a limit: a device, a pipe or a huge file must not fill the memory. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

const PIECE = 64 * 1024;

/** A file is larger than the limit for its kind. */
export class TooLongError extends Error {
  override readonly name = "TooLongError";

  constructor(most: number) {
    super(`it is longer than ${formatBytes(most)}`);
  }
}

/** Reads a whole file, which may be a pipe or an open descriptor. Throws TooLongError, or the system's error. */
export function readBounded(file: string | number, most: number): Buffer {
  const fd = typeof file === "number" ? file : openSync(file, constants.O_RDONLY);
  try {
    const pieces: Buffer[] = [];
    for (let length = 0; ; ) {
      const piece = Buffer.allocUnsafe(PIECE);
      const read = readSync(fd, piece, 0, PIECE, null);
      if (read === 0) return Buffer.concat(pieces);
      length += read;
      if (length > most) throw new TooLongError(most);
      pieces.push(piece.subarray(0, read));
    }
  } finally {
    if (typeof file === "string") closeSync(fd);
  }
}

/**
 * Reads a whole regular file. Rejects with TooLongError, with an Error for anything else, or with the system's error.
 */
export async function readRegular(path: string, most: number): Promise<Buffer> {
  const { open } = await import("node:fs/promises");
  // Non-blocking, because a fifo of that name would block forever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new Error("it is not a regular file");
    if (info.size > most) throw new TooLongError(most);
    const pieces: Buffer[] = [];
    for (let length = 0; ; ) {
      // One byte more, to detect the end. The file may have grown, and files in /proc have no size.
      const piece = Buffer.allocUnsafe(Math.max(PIECE, info.size - length + 1));
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return Buffer.concat(pieces);
      length += bytesRead;
      if (length > most) throw new TooLongError(most);
      pieces.push(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** The longest file that `readRegularAtOnce` reads: reading a longer one would delay everything else. */
export const LONGEST_AT_ONCE = 256 * 1024;
/** New memory for each file would take as long as the reading. */
let reused: Buffer | undefined;

/**
 * Like `readRegular`, without other work in the meantime: for a short file on a local disk, each wait for another thread takes
 * longer than the reading. Returns undefined for a longer file. The bytes are valid until the next call.
 */
export function readRegularAtOnce(path: string, most: number): Buffer | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const info = fstatSync(fd);
    if (!info.isFile()) throw new Error("it is not a regular file");
    if (info.size > most) throw new TooLongError(most);
    if (info.size > LONGEST_AT_ONCE) return undefined;
    reused ??= Buffer.allocUnsafe(LONGEST_AT_ONCE + 1);
    // A regular file is at its end when it gives less than it was asked for. It may have grown since its size was read.
    const length = readSync(fd, reused, 0, reused.length, null);
    return length === reused.length ? undefined : reused.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/** "64 MiB", "1000 bytes". */
function formatBytes(bytes: number): string {
  const mebibytes = bytes / 1024 / 1024;
  return mebibytes >= 1 && Number.isInteger(mebibytes) ? `${mebibytes} MiB` : `${bytes} bytes`;
}
