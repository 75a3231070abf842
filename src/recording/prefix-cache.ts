/**
 * Prefixes that long texts have in common.
 *
 * Requests for the files of one directory begin with the same pages, which would have to be hashed and serialised for
 * each of them. With a known prefix, that happens once.
 */

/** Shorter prefixes are not worth remembering. */
const SHORTEST = 2048;
/** A text must share this much more with the previous one to become another prefix. */
const LONGER = 512;
/** At most this many are kept, the most recently used ones. */
const MOST = 16;

export class PrefixCache {
  /** In order of use: the most recent one is last. */
  readonly #known = new Set<string>();
  #last = "";

  /** The prefix that the text shares with an earlier one, never cut inside a surrogate pair; "" if it is short. */
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
  // Bisection: comparing whole slices is far faster than comparing units.
  let [same, differs] = [0, Math.min(a.length, b.length) + 1];
  while (differs - same > 1) {
    const middle = (same + differs) >> 1;
    if (b.startsWith(a.slice(0, middle))) same = middle;
    else differs = middle;
  }
  const last = a.charCodeAt(same - 1);
  return a.slice(0, last >= 0xd800 && last < 0xdc00 ? same - 1 : same);
}

/** A value computed for each prefix, kept for as long as the prefix may occur again. */
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
