/** A snapshot of a mounted tree, which the main thread gets from the filesystem thread piece by piece. */
import type { Methods } from "../rpc/messages.ts";

export interface SnapshotSaveOptions {
  /** Includes times. */
  readonly times?: boolean;
  /** Called with the number of bytes received so far. */
  readonly progress?: (bytes: number) => void;
}

export async function* snapshotPieces(
  tree: Pick<Methods, "saveBegin" | "saveNext" | "saveEnd">,
  { times = false, progress }: SnapshotSaveOptions = {},
): AsyncGenerator<Uint8Array> {
  const id = await tree.saveBegin(times);
  let bytes = 0;
  try {
    for (;;) {
      const piece = await tree.saveNext(id);
      if (piece === undefined) return;
      yield piece;
      bytes += piece.length;
      progress?.(bytes);
    }
  } finally {
    await tree.saveEnd(id);
  }
}
