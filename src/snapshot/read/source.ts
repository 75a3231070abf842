/** Where the bytes of a snapshot come from: a file, read piece by piece, or an array. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { reasonOf } from "../../errno.ts";
import { SnapshotError } from "../error.ts";

export interface ByteSource {
  /** Fills the beginning of `target` and returns the number of bytes; 0 at the end. */
  read(target: Uint8Array): number;
  close(): void;
}

/** Throws SnapshotError if the file cannot be opened. */
export function openSource(source: string | Uint8Array, name: string): ByteSource {
  return typeof source === "string" ? openFile(source, name) : fromBytes(source);
}

function openFile(path: string, name: string): ByteSource {
  const attempt = <T>(what: string, call: () => T): T => {
    try {
      return call();
    } catch (error) {
      throw new SnapshotError({ source: name }, `cannot be ${what}: ${reasonOf(error, path)}`, undefined, {
        cause: error,
      });
    }
  };
  // Opening a pipe without a writer would block forever.
  const fd = attempt("opened", () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const kind = fstatSync(fd);
  if (!kind.isFile()) {
    closeSync(fd);
    const what = kind.isDirectory() ? "is a directory" : "is not a regular file";
    throw new SnapshotError({ source: name }, what, "name a file that holds a snapshot");
  }
  return {
    read: (target) => attempt("read", () => readSync(fd, target, 0, target.length, null)),
    close: () => closeSync(fd),
  };
}

function fromBytes(bytes: Uint8Array): ByteSource {
  let at = 0;
  return {
    read(target) {
      const part = bytes.subarray(at, at + target.length);
      target.set(part);
      at += part.length;
      return part.length;
    },
    close() {},
  };
}
