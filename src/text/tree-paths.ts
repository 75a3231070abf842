/** Paths in a tree, which begin with "/": their folders, their distance and their order. */

/** The number of steps up and down the tree from one path to another. */
export function distance(from: string, to: string): number {
  const a = from.split("/").filter((name) => name !== "");
  const b = to.split("/").filter((name) => name !== "");
  let shared = 0;
  while (shared < a.length && shared < b.length && a[shared] === b[shared]) shared += 1;
  return a.length + b.length - 2 * shared;
}

export function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

/** Compares by UTF-8 byte order, which is code point order. UTF-16 sorts surrogates before U+E000, so they are moved up. */
export function compareBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const difference = a.charCodeAt(at) - b.charCodeAt(at);
    if (difference !== 0) return rankUnit(a.charCodeAt(at)) - rankUnit(b.charCodeAt(at));
  }
  return a.length - b.length;
}

function rankUnit(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
}

/** Sorts a directory before its entries, and those before its next sibling. Names are in byte order. */
export function comparePaths(a: string, b: string): number {
  return compareBytes(a.replaceAll("/", "\0"), b.replaceAll("/", "\0"));
}
