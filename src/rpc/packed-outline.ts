/**
 * The outline while it is sent from one thread to the other. Sending an object for each of fifty thousand entries takes
 * as long as creating them; one long string and a few numbers take almost no time.
 */
import type { TreeEntry } from "./tree-port.ts";

export interface PackedEntries {
  /** The texts of all entries in a row: path, description and target of each. */
  readonly text: string;
  /** The length of each of the three; -1 if it is absent. */
  readonly lengths: Int32Array;
  /** Indices into TYPES and, in the higher bits, STATES. */
  readonly kinds: Uint8Array;
  /** NaN: absent. */
  readonly sizes: Float64Array;
}

const TYPES = ["file", "directory", "symlink", "other"] as const satisfies readonly TreeEntry["type"][];
const STATES = [undefined, "static", "pending", "generating", "ready", "failed"] as const;
const STATE_SHIFT = 2;
const TEXTS = 3;

export function packOutline(entries: readonly TreeEntry[]): PackedEntries {
  const lengths = new Int32Array(entries.length * TEXTS);
  const kinds = new Uint8Array(entries.length);
  const sizes = new Float64Array(entries.length);
  const texts: string[] = [];
  let at = 0;
  const add = (text: string | undefined) => {
    lengths[at++] = text?.length ?? -1;
    if (text !== undefined) texts.push(text);
  };
  let index = 0;
  for (const { path, description, target, type, state, size } of entries) {
    add(path);
    add(description);
    add(target);
    kinds[index] = TYPES.indexOf(type) | (STATES.indexOf(state) << STATE_SHIFT);
    sizes[index++] = size ?? Number.NaN;
  }
  return { text: texts.join(""), lengths, kinds, sizes };
}

export function unpackOutline({ text, lengths, kinds, sizes }: PackedEntries): readonly TreeEntry[] {
  let at = 0;
  const next = (index: number): string | undefined => {
    const length = lengths[index] ?? -1;
    if (length < 0) return undefined;
    at += length;
    return text.slice(at - length, at);
  };
  const entries: TreeEntry[] = [];
  for (const [index, kind] of kinds.entries()) {
    const path = next(index * TEXTS) ?? "";
    const description = next(index * TEXTS + 1);
    const target = next(index * TEXTS + 2);
    const state = STATES[kind >> STATE_SHIFT];
    const size = sizes[index] ?? Number.NaN;
    entries.push({
      path,
      type: TYPES[kind & 3] ?? "other",
      ...(state !== undefined && { state }),
      ...(!Number.isNaN(size) && { size }),
      ...(description !== undefined && { description }),
      ...(target !== undefined && { target }),
    });
  }
  return entries;
}
