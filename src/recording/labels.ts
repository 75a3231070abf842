/**
 * An index of recordings by label, to find one that resembles a missing one: by the same label, otherwise by a similar
 * one.
 *
 * A miss is explained by its nearest recording. In a tree of ten thousand files, all of them may miss at once, so the
 * labels are listed once for all misses, and only a few recordings are read for each.
 */

export interface Labelled {
  readonly label: string;
  /** The recording's name in its store. */
  readonly name: string;
}

/** At most this many with the same label are examined, or this many with a similar one. */
const SAME = 32;
const ALIKE = 8;
/** The list is kept for at least this long, and for ten times as long as listing took. */
const KEPT_MS = 2_000;

export class Labels {
  readonly #list: () => Promise<readonly Labelled[]>;
  #index: Promise<Index> | undefined;
  #goodUntil = 0;

  constructor(list: () => Promise<readonly Labelled[]>) {
    this.#list = list;
  }

  /** The names of a few similar recordings. Rejects if listing fails. */
  async near(label: string): Promise<readonly string[]> {
    const { same, alike, all } = await this.#current();
    const found = same.get(label);
    if (found !== undefined) return found.slice(0, SAME);
    const [folder, base] = split(label);
    const likely = [...(alike.get(`name ${base}`) ?? []), ...(alike.get(`folder ${folder}`) ?? []), ...all];
    return [...new Set(likely)].slice(0, ALIKE);
  }

  #current(): Promise<Index> {
    if (this.#index !== undefined && performance.now() < this.#goodUntil) return this.#index;
    const begun = performance.now();
    this.#goodUntil = Number.POSITIVE_INFINITY;
    const index = this.#list().then(buildIndex);
    this.#index = index;
    const over = () => {
      const now = performance.now();
      this.#goodUntil = now + Math.max(KEPT_MS, 10 * (now - begun));
    };
    index.then(over, () => {
      this.#index = undefined;
    });
    return index;
  }
}

interface Index {
  readonly same: ReadonlyMap<string, readonly string[]>;
  /** A few for each key, such as "name README.md" and "folder /docs". */
  readonly alike: ReadonlyMap<string, readonly string[]>;
  /** A few of all recordings. */
  readonly all: readonly string[];
}

function buildIndex(list: readonly Labelled[]): Index {
  const same = new Map<string, string[]>();
  const alike = new Map<string, string[]>();
  const add = (to: Map<string, string[]>, key: string, name: string, most = Number.POSITIVE_INFINITY) => {
    const names = to.get(key);
    if (names === undefined) to.set(key, [name]);
    else if (names.length < most) names.push(name);
  };
  for (const { label, name } of list) {
    add(same, label, name);
    const [folder, base] = split(label);
    add(alike, `name ${base}`, name, ALIKE);
    add(alike, `folder ${folder}`, name, ALIKE);
  }
  return { same, alike, all: list.slice(0, ALIKE).map(({ name }) => name) };
}

/** Folder and name. In the file name of a recording, "+" stands for a slash. */
function split(label: string): readonly [folder: string, base: string] {
  const at = Math.max(label.lastIndexOf("/"), label.lastIndexOf("+"));
  return [label.slice(0, Math.max(0, at)), label.slice(at + 1)];
}

/** A label as a part of a file's name, with "+" for a slash: short, and safe on every system. */
export function stem(label: string): string {
  // Most labels are like this, and the replacements below take microseconds.
  if (label.length <= 150 && /^\/?\w[\w./+-]*$/.test(label)) {
    return (label.startsWith("/") ? label.slice(1) : label).replaceAll("/", "+");
  }
  const plain = label
    .replace(/^\//, "")
    .replaceAll("/", "+")
    .replace(/[^\p{L}\p{N}._+-]+/gu, "_")
    .replace(/^\.+/, "_");
  return beginningOf(plain, 150) || "unnamed";
}

/** The beginning of a text, at most this many bytes of UTF-8, never cut inside a character. */
function beginningOf(text: string, bytes: number): string {
  const whole = Buffer.from(text.slice(0, bytes + 1));
  if (whole.length <= bytes) return text;
  let end = bytes;
  // Continuation bytes begin with the bits 10.
  while (((whole[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return whole.toString("utf8", 0, end);
}
