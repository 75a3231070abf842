/**
 * What a server knows about recordings without reading them: what each is for, so that a missing one can be explained by a
 * similar one, and when it was written, so that nothing young is pruned.
 *
 * All of it can be lost without harm. A recording that is in no index is found by its key as always.
 */

/** At most this many with the same label are read, or this many with a similar one. */
export const SAME = 32;
export const ALIKE = 8;

/** What a recording is known by. */
export interface LabelledKey {
  readonly key: string;
  readonly label: string;
}

/** Everything in the label up to its last slash, and that slash: what labels of files in one directory have in common. */
export function folderOf(label: string): string {
  return label.slice(0, label.lastIndexOf("/") + 1);
}

/** Runs the steps until one finds something. */
export async function firstFound(...steps: readonly (() => Promise<readonly string[]>)[]): Promise<readonly string[]> {
  for (const step of steps) {
    const found = await step();
    if (found.length > 0) return found;
  }
  return [];
}
