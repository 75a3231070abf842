/** Finds the files that a check's output is about: those that it names, and those that these use. */
import type { TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { Pace } from "../../text/pace.ts";
import { createReferred, findReference, type References, type Referred, referencesIn } from "../context/references.ts";
import { textOf } from "../context/related.ts";
import { parseDependencies } from "../depends.ts";

export interface InvolvedFile {
  readonly path: string;
  /** In words, for the model. */
  readonly reason: string;
  readonly content: string;
}

/** More would not fit into a request anyway. */
const MOST = 60;
/** Longer files are data, not what a person would look at. */
const LONGEST = 256 * 1024;

/**
 * `entries` are those that may be shown. `depends` is the value of `user.llmfs.depends`. Named files come first, in the
 * order of the output. If it names none, or `all` is set, the other files follow.
 */
export async function findInvolvedFiles(
  output: string,
  entries: readonly TreeEntry[],
  tree: Pick<TreePort, "read">,
  depends: (path: string) => Promise<string | undefined>,
  { all, signal }: { readonly all: boolean; readonly signal: AbortSignal },
): Promise<readonly InvolvedFile[]> {
  const pace = new Pace(signal);
  const files = entries.filter(({ type }) => type === "file").map(({ path }) => path);
  const index = new FileIndex(files);
  const named = await index.findNamed(output, pace);
  const found = new Map<string, InvolvedFile>();
  const queue = named.map((path) => ({ path, reason: "named by the output" }));
  const others = (all || named.length === 0 ? files : []).map((path) => ({ path, reason: "a file of the tree" }));
  while (found.size < MOST) {
    const next = queue.shift() ?? others.shift();
    if (next === undefined) break;
    const { path, reason } = next;
    if (found.has(path)) continue;
    const content = await readText(tree, path);
    signal.throwIfAborted();
    if (content === undefined) continue;
    found.set(path, { path, reason, content });
    const used = [...parseDependencies(path, await depends(path)), ...(await index.findImported(path, content, pace))];
    for (const one of used) queue.push({ path: one, reason: `used by ${path.slice(1)}` });
  }
  return [...found.values()];
}

class FileIndex {
  readonly #files: readonly Referred[];
  readonly #counts = new Map<string, number>();
  /** Paths by the dotted names that Python, Java and others have for them. */
  readonly #modules = new Map<string, string>();

  constructor(files: readonly string[]) {
    this.#files = files.map(createReferred);
    for (const path of files) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
      const module = path.slice(1).replace(/(?:\/__init__)?\.\w+$/, "");
      if (module.includes("/")) this.#modules.set(module.replaceAll("/", "."), path);
    }
  }

  /** In the order in which the text names them. */
  async findNamed(text: string, pace: Pace): Promise<readonly string[]> {
    const places = new Map<string, number>();
    for (const path of await this.#findReferred("/output", text, pace)) places.set(path, placeOf(path, text));
    for (const match of text.matchAll(/\b\w+(?:\.\w+)+\b/g)) {
      const path = this.#modules.get(match[0]);
      if (path !== undefined) places.set(path, Math.min(places.get(path) ?? match.index, match.index));
    }
    return [...places].sort(([, a], [, b]) => a - b).map(([path]) => path);
  }

  async findImported(path: string, text: string, pace: Pace): Promise<readonly string[]> {
    return this.#findReferred(path, text, pace, "imports");
  }

  async #findReferred(from: string, text: string, pace: Pace, how?: "imports"): Promise<readonly string[]> {
    const references: References = await referencesIn(from, text, pace);
    const found: string[] = [];
    for (const file of this.#files) {
      const kind = findReference(references, from, file, (name) => this.#counts.get(name) === 1);
      if (file.path !== from && kind !== undefined && (how === undefined || kind === how)) found.push(file.path);
      if (pace.due) await pace.pause();
    }
    return found;
  }
}

function placeOf(path: string, text: string): number {
  const whole = text.indexOf(path.slice(1));
  const name = text.indexOf(path.slice(path.lastIndexOf("/") + 1));
  return whole >= 0 ? whole : name >= 0 ? name : text.length;
}

async function readText(tree: Pick<TreePort, "read">, path: string): Promise<string | undefined> {
  const bytes = await tree.read(path).catch(() => undefined);
  return bytes?.length === 0 ? "" : textOf(bytes, LONGEST);
}
