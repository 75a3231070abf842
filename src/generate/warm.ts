/** Makes the content of many files ahead of their readers, so many at a time. */
import { Glob } from "bun";
import { withoutTrailing } from "../text/trailing.ts";
import { parseDependencies, sortByDependencies } from "./depends.ts";

export interface WarmFile {
  readonly path: string;
  /** What `user.llmfs.depends` says. */
  readonly depends?: string;
}

export interface WarmOptions {
  /** Files that are asked for at once. */
  readonly first: number;
  /** Files under way at a time: one more with each that is done, until there are so many. */
  readonly most: number;
  /** Resolves when the file's content is there. */
  make(path: string): Promise<void>;
  /** Begins no other file once it fires, and waits for none. */
  readonly signal: AbortSignal;
  /** Called after every file. */
  onProgress?(state: Warmed): void;
}

export interface Warmed {
  /** All there are to make. */
  readonly total: number;
  readonly done: number;
  /** Paths and reasons, in the order in which they failed. */
  readonly failed: readonly FailedFile[];
}

export interface FailedFile {
  readonly path: string;
  readonly error: unknown;
}

/** Does not reject: what fails is in the result. Files that others depend on come before them. */
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
 * The files that any of the patterns takes, and those they depend on; without patterns all of them. A pattern is a path
 * below the mount, of a file or of a directory with everything below it, or a glob of such paths ("src/**", "*.md"). One
 * behind "!" takes away from the others, or from everything if there are no others.
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

/** A name may hold what globs are made of: "pages/[id]" is a directory first. */
function matcher(pattern: string): (path: string) => boolean {
  const plain = withoutTrailing(pattern.replace(/^(\.?\/)+/, ""), "/");
  if (plain === "" || plain === ".") return () => true;
  const escaped = plain.replace(/^!/, "\\!");
  const globs = [new Glob(escaped), new Glob(`${escaped}/**`)];
  return (path) => path === plain || path.startsWith(`${plain}/`) || globs.some((glob) => glob.match(path));
}
