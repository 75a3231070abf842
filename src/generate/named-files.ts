/** The files that a prompt names by path: a summary "of /data.csv" is written from that file. */
import { posix } from "node:path";

/** Quoted texts, which may contain blanks, and words. */
const NAMES = /"([^"\n]+)"|'([^'\n]+)'|`([^`\n]+)`|[^\s"'`()<>[\]{},;:=|*#!?&$^\\]+/g;

/**
 * Returns absolute paths, each once. A relative path counts from the directory of the file `path`, or else from the root.
 * `exists` says which paths are files.
 */
export function namedFiles(
  texts: readonly string[],
  path: string,
  exists: (path: string) => boolean,
): readonly string[] {
  const found = new Set<string>();
  for (const text of texts) {
    for (const [word, ...quoted] of text.matchAll(NAMES)) {
      const inside = quoted.find((one) => one !== undefined);
      const candidates = inside === undefined ? [word] : [inside, ...(inside.match(/\S+/g) ?? [])];
      for (const candidate of candidates) {
        const file = findFile(candidate, path, exists) ?? findFile(withoutPunctuation(candidate), path, exists);
        if (file !== undefined && file !== path) found.add(file);
      }
    }
  }
  return [...found];
}

/** The word without the marks at its end. A regular expression would take quadratic time. */
function withoutPunctuation(word: string): string {
  let end = word.length;
  while (end > 0 && ".,;:!?)".includes(word.charAt(end - 1))) end--;
  return word.slice(0, end);
}

function findFile(name: string, path: string, exists: (path: string) => boolean): string | undefined {
  if (name === "") return undefined;
  return [posix.resolve(posix.dirname(path), name), posix.resolve("/", name)].find(exists);
}
