/** Generates many files in advance, a limited number at a time. */
import { Glob } from "bun";
import { withoutTrailing } from "../text/trailing.ts";
import { parseDependencies, sortByDependencies } from "./depends.ts";

export interface WarmFile {
  readonly path: string;
  /** The value of `user.llmfs.depends`. */
  readonly depends?: string;
}

export interface WarmOptions {
  /** The number of files to request at the start. */
  readonly first: number;
  /** The maximum number of files in progress. Their number grows by one with each finished file. */
  readonly most: number;
  /** Resolves when the file has content. */
  make(path: string): Promise<void>;
  /** When it fires, no further file is started, and running ones are not waited for. */
  readonly signal: AbortSignal;
  /** Called after every file. */
  onProgress?(state: Warmed): void;
}

export interface Warmed {
  /** The number of files to generate. */
  readonly total: number;
  readonly done: number;
  /** Paths and errors in order of failure. */
  readonly failed: readonly FailedFile[];
}

export interface FailedFile {
  readonly path: string;
  readonly error: unknown;
}

/** Does not reject: failures are in the result. Files that others depend on come first. */
export async function warm(files: readonly WarmFile[], options: WarmOptions): Promise<Warmed> {
  const { first, most, signal } = options;
  const queue = sortByDependencies(files).values();
  const failed: FailedFile[] = [];
  let done = 0;
  const summarize = (): Warmed => ({ total: files.length, done, failed });
  const over = Promise.withResolvers<void>();
  const stop = () => over.resolve();
  let workers = 0;
  let working = 0;
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });

  function startWorkers(count: number): void {
    for (let one = 0; one < count && workers < most; one++) {
      workers += 1;
      working += 1;
      work().then(() => {
        working -= 1;
        if (working === 0) stop();
      }, over.reject);
    }
  }

  async function work(): Promise<void> {
    for (const { path } of queue) {
      if (signal.aborted) return;
      try {
        await options.make(path);
        if (signal.aborted) return;
        done += 1;
      } catch (error) {
        if (signal.aborted) return;
        failed.push({ path, error });
      }
      options.onProgress?.(summarize());
      startWorkers(1);
    }
  }

  startWorkers(Math.max(1, first));
  await over.promise;
  signal.removeEventListener("abort", stop);
  return { ...summarize(), failed: [...failed] };
}

/**
 * Selects the files that match any pattern, and the files they depend on. Without patterns, selects all files. A pattern is
 * the path of a file or a directory (with everything below it), or a glob ("src/**", "*.md"). A pattern after "!" excludes
 * files from the others, or from all files if there are no other patterns.
 */
export function selectFiles<T extends WarmFile>(files: readonly T[], patterns: readonly string[]): readonly T[] {
  if (patterns.length === 0) return files;
  const wanted = patterns.filter((pattern) => !pattern.startsWith("!")).map(matcher);
  const unwanted = patterns.filter((pattern) => pattern.startsWith("!")).map((pattern) => matcher(pattern.slice(1)));
  const byPath = new Map(files.map((file) => [file.path, file]));
  const taken = new Set<T>();
  const left = files.filter(({ path }) => {
    const below = path.slice(1);
    return (wanted.length === 0 || wanted.some((takes) => takes(below))) && !unwanted.some((takes) => takes(below));
  });
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    if (taken.has(file)) continue;
    taken.add(file);
    for (const path of parseDependencies(file.path, file.depends)) {
      const needed = byPath.get(path);
      if (needed !== undefined) left.push(needed);
    }
  }
  return files.filter((file) => taken.has(file));
}

/** A name may contain glob characters, so "pages/[id]" is also tried as a plain path. */
function matcher(pattern: string): (path: string) => boolean {
  const plain = withoutTrailing(pattern.replace(/^(\.?\/)+/, ""), "/");
  if (plain === "" || plain === ".") return () => true;
  const escaped = plain.replace(/^!/, "\\!");
  const globs = [new Glob(escaped), new Glob(`${escaped}/**`)];
  return (path) => path === plain || path.startsWith(`${plain}/`) || globs.some((glob) => glob.match(path));
}
