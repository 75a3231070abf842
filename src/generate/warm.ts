/** Generates many files in advance, a limited number at a time. */
import { Glob } from "bun";
import { messageOf } from "../errno.ts";
import { withoutTrailing } from "../text/trailing.ts";
import { type Dependent, parseDependencies } from "./depends.ts";
import { Schedule } from "./schedule.ts";

export type WarmFile = Dependent;

export interface WarmOptions {
  /** The number of files to request at the start. */
  readonly first: number;
  /** The maximum number of files in progress. Their number grows by one with each finished file. */
  readonly most: number;
  /**
   * The maximum number of files in progress while a file that is as urgent as the next one waits for one of them: as many as can
   * be generated at a time, so that this file need not queue. Default: `most`.
   */
  readonly slots?: number;
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

/**
 * Does not reject: failures are in the result. A file is started when all files that it depends on have content; of several,
 * the one with the longest chain of files behind it. If a file fails, those that depend on it fail without being started.
 */
export async function warm(files: readonly WarmFile[], options: WarmOptions): Promise<Warmed> {
  const { first, most, slots = most, signal } = options;
  const schedule = new Schedule(files);
  const failed: FailedFile[] = [];
  let done = 0;
  let allowed = Math.min(most, Math.max(1, first));
  let working = 0;
  const over = Promise.withResolvers<void>();
  const stop = () => over.resolve();
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });

  function start(): void {
    while (!signal.aborted && working < (schedule.hasUrgent ? Math.min(slots, allowed) : allowed)) {
      const node = schedule.take();
      if (node === undefined) break;
      working += 1;
      const { path } = node.file;
      options.make(path).then(
        () => finish(() => schedule.finish(node), 1),
        (error: unknown) =>
          finish(() => {
            failed.push({ path, error });
            for (const one of schedule.fail(node)) failed.push({ path: one.path, error: createLostError(path, error) });
          }, 0),
      );
    }
    if (working === 0) stop();
  }

  function finish(report: () => void, made: 0 | 1): void {
    if (signal.aborted) return;
    report();
    done += made;
    working -= 1;
    allowed = Math.min(most, allowed + 1);
    options.onProgress?.({ total: files.length, done, failed });
    start();
  }

  start();
  await over.promise;
  signal.removeEventListener("abort", stop);
  return { total: files.length, done, failed: [...failed] };
}

/**
 * Rotates the order of files, so that machines that share a store begin in different places, and not all with the file that
 * another machine is generating. `at` is from 0 to 1. Dependencies still come first: see Schedule.
 */
export function rotate<T>(files: readonly T[], at: number): readonly T[] {
  const first = Math.floor(at * files.length);
  return [...files.slice(first), ...files.slice(0, first)];
}

/** For a file that depends on one that failed. An errno at the beginning of the message stays there. */
function createLostError(path: string, error: unknown): Error {
  const [, code = "", reason] = /^([A-Z][A-Z0-9]+: )?(.*)$/s.exec(messageOf(error)) ?? [];
  return new Error(`${code}it depends on ${path}, which could not be generated: ${reason}`, { cause: error });
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
