import type { RegularFile } from "../tree/file.ts";

const CHUNK = 1 << 20;

/** The content of a file in the tree, a MiB at a time. */
export function* chunksOf(file: RegularFile): Generator<Uint8Array> {
  const { size } = file;
  for (let at = 0; at < size; ) {
    const chunk = new Uint8Array(Math.min(CHUNK, size - at));
    file.read(at, chunk);
    at += chunk.length;
    yield chunk;
  }
}
