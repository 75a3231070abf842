/**
 * Beginnings that long texts have in common.
 *
 * Requests for the files of one directory begin with the same pages, which would have to be hashed, serialised and quoted for
 * each of them. With a known beginning, that happens once.
 */

/** A beginning that several texts share. What is computed for it is kept with it: see PerHead. */
export interface Head {
  readonly text: string;
}

/** Shorter beginnings are not worth remembering. */
const SHORTEST = 2048;
/** A text must share this much more with an earlier one to become another head. */
const LONGER = 512;
/** Heads that begin alike, at most. */
const MOST_ALIKE = 8;
/** Groups of texts that begin alike, such as those of one directory each; and what they may hold together, in UTF-16 code units. */
const MOST_GROUPS = 256;
const MOST_UNITS = 4 * 1024 * 1024;

/** Texts with the same first SHORTEST units. */
interface HeadGroup {
  readonly start: string;
  last: string;
  /** The most recently used one is last. */
  readonly heads: Head[];
}

/** A text in two pieces. */
export interface Cut {
  readonly head: Head;
  readonly rest: string;
}

/** A text, and the pieces that whoever composed it declared. */
interface Declared extends Cut {
  readonly text: string;
}

export class SharedHeads {
  /** By the object that holds the text. */
  readonly #declared = new WeakMap<object, Declared>();
  /** In order of use: the most recent one is last. */
  readonly #groups = new Map<string, HeadGroup>();
  #units = 0;

  /**
   * Declares the head of a text that was composed from it, and returns the text. Then nobody needs to compare long texts, and
   * JavaScript need not even put this one together. Use the same head for other texts that begin alike. `holder` is the
   * object that holds the text, such as a message.
   * Precondition: the head does not end inside a surrogate pair.
   */
  declare(holder: object, head: Head, rest: string): string {
    const text = head.text + rest;
    // A short head is not worth it.
    if (head.text.length >= SHORTEST) this.#declared.set(holder, { text, head, rest });
    return text;
  }

  /**
   * The text with the beginning that it shares with an earlier one; undefined if it is short. `holder` is the object that
   * holds the text.
   */
  cut(text: string, holder?: object): Cut | undefined {
    if (text.length < SHORTEST) return undefined;
    const declared = holder && this.#declared.get(holder);
    if (declared?.text === text) return declared;
    const head = this.of(text);
    return head && { head, rest: text.slice(head.text.length) };
  }

  /** The beginning that the text shares with an earlier one, never cut inside a surrogate pair; undefined if it is short. */
  of(text: string): Head | undefined {
    if (text.length < SHORTEST) return undefined;
    const start = text.slice(0, SHORTEST);
    const group = this.#groups.get(start) ?? { start, last: "", heads: [] };
    this.#groups.delete(start);
    this.#groups.set(start, group);
    const head = findHead(group, text);
    this.#units += text.length - group.last.length;
    group.last = text;
    if (head !== undefined) this.#use(group, head);
    this.#evict();
    return head;
  }

  #use(group: HeadGroup, head: Head): void {
    if (group.heads.at(-1) === head) return;
    const at = group.heads.indexOf(head);
    if (at < 0) this.#units += head.text.length;
    else group.heads.splice(at, 1);
    group.heads.push(head);
    if (group.heads.length > MOST_ALIKE) this.#units -= group.heads.shift()?.text.length ?? 0;
  }

  /** The last group stays, however long its texts are. */
  #evict(): void {
    for (const group of this.#groups.values()) {
      if (this.#groups.size <= MOST_GROUPS && (this.#units <= MOST_UNITS || this.#groups.size === 1)) return;
      this.#groups.delete(group.start);
      this.#units -= group.last.length + group.heads.reduce((sum, { text }) => sum + text.length, 0);
    }
  }
}

function findHead({ last, heads }: HeadGroup, text: string): Head | undefined {
  let known: Head | undefined;
  for (const head of heads) {
    if (head.text.length > (known?.text.length ?? 0) && text.startsWith(head.text)) known = head;
  }
  // The same text again, to be used in another way.
  if (last === text) return known;
  const length = known?.text.length ?? 0;
  if (length > 0 && !text.startsWith(last.slice(0, length + LONGER))) return known;
  const shared = commonStart(last, text);
  if (shared.length < SHORTEST || shared.length === length) return known;
  return { text: shared };
}

function commonStart(a: string, b: string): string {
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

/** A value computed once for each head, and kept for as long as the head is. */
export class PerHead<T> {
  readonly #made = new WeakMap<Head, T>();
  readonly #make: (text: string) => T;

  constructor(make: (text: string) => T) {
    this.#make = make;
  }

  of(head: Head): T {
    const known = this.#made.get(head);
    if (known !== undefined) return known;
    const made = this.#make(head.text);
    this.#made.set(head, made);
    return made;
  }
}

/** Shared by all requests: hashing, sending and recording a request work on the same text. */
export const requestHeads = new SharedHeads();
