/**
 * The beginnings that long texts have in common.
 *
 * Requests for the files of one directory begin with the same pages, which have to be hashed and written down for each of
 * them. Who knows what a text begins with does that once.
 */

/** Shorter beginnings are not worth remembering. */
const SHORTEST = 2048;
/** So much more in common with the text before is worth another beginning. */
const LONGER = 512;
/** So many are remembered, those that were met last. */
const MOST = 16;

export class PrefixCache {
  /** The one that was met last comes last. */
  readonly #known = new Set<string>();
  #last = "";

  /** What the text and an earlier one begin with, never half a character of two units; "" if that is short. */
  of(text: string): string {
    if (text.length < SHORTEST) return "";
    const known = this.#longest(text);
    const longer = this.#last.slice(0, known.length + LONGER);
    const shared = known.length > 0 && !text.startsWith(longer) ? known : commonPrefix(this.#last, text);
    this.#last = text;
    if (shared.length < SHORTEST) return "";
    this.#known.delete(shared);
    this.#known.add(shared);
    for (const oldest of this.#known) {
      if (this.#known.size <= MOST) break;
      this.#known.delete(oldest);
    }
    return shared;
  }

  #longest(text: string): string {
    let found = "";
    for (const head of this.#known) if (head.length > found.length && text.startsWith(head)) found = head;
    return found;
  }
}

function commonPrefix(a: string, b: string): string {
  // Halving, since whole pieces are compared far faster than units.
  let [same, differs] = [0, Math.min(a.length, b.length) + 1];
  while (differs - same > 1) {
    const middle = (same + differs) >> 1;
    if (b.startsWith(a.slice(0, middle))) same = middle;
    else differs = middle;
  }
  const last = a.charCodeAt(same - 1);
  return a.slice(0, last >= 0xd800 && last < 0xdc00 ? same - 1 : same);
}

/** Something that is made of a head, kept for as long as it may come again. */
export class PerHead<T> {
  readonly #made = new Map<string, T>();

  get(head: string): T | undefined {
    return this.#made.get(head);
  }

  set(head: string, made: T): T {
    if (this.#made.size >= 2 * MOST) this.#made.clear();
    this.#made.set(head, made);
    return made;
  }
}
