/** tar-stream with complete types: @types/tar-stream lacks some options. */
import { extract } from "tar-stream";
import type { ArchiveHeader } from "./archive.ts";

export interface TarExtract extends AsyncIterable<AsyncIterable<Uint8Array> & { readonly header: ArchiveHeader }> {
  write(bytes: Uint8Array): boolean;
  once(event: "drain", handler: () => void): unknown;
  destroy(error: unknown): unknown;
  end(): void;
}

/** Names have one character for each byte, except those of extended headers. */
export function createTarExtract(): TarExtract {
  // The option and the async iterator of tar-stream 3, as its README describes them.
  return (extract as unknown as (options: { filenameEncoding: string }) => TarExtract)({ filenameEncoding: "latin1" });
}

export const BLOCK = 512;

const TYPES = {
  file: "0",
  link: "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
  "extended-header": "x",
} as const;

export interface TarBlock {
  /** At most 100 characters of ASCII, like `linkname`. */
  readonly name: string;
  readonly type: keyof typeof TYPES;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** In seconds since 1970; not negative. */
  readonly mtime: number;
  readonly linkname?: string;
  readonly devmajor?: number;
  readonly devminor?: number;
}

/**
 * The header of an entry: POSIX ustar, as pax(1) describes it. tar-stream can write headers too, but encodes every name
 * and attribute as UTF-8, which would damage other bytes.
 */
export function encodeTarBlock(header: TarBlock): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  /** Octal digits and a NUL. Numbers that are too large for that use GNU tar's base-256. */
  const number = (value: number, at: number, length: number) => {
    const digits = value.toString(8);
    if (digits.length < length) return block.write(digits.padStart(length - 1, "0"), at, "latin1");
    block.writeBigUInt64BE(BigInt(value), at + length - 8);
    block[at] = 0x80 | (block[at] ?? 0);
    return length;
  };
  block.write(header.name, 0, 100, "latin1");
  number(header.mode, 100, 8);
  number(header.uid, 108, 8);
  number(header.gid, 116, 8);
  number(header.size, 124, 12);
  number(header.mtime, 136, 12);
  block.write(" ".repeat(8), 148, "latin1");
  block.write(TYPES[header.type], 156, "latin1");
  block.write(header.linkname ?? "", 157, 100, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  number(header.devmajor ?? 0, 329, 8);
  number(header.devminor ?? 0, 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148, "latin1");
  return block;
}
