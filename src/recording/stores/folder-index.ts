/**
 * The names of the files in a folder of recordings, indexed by their end, which is the beginning of the key.
 *
 * A folder may hold a hundred thousand files, and every answer that is not recorded yet looks up all names with its
 * key. The folder is read again when it has changed; if the change may be our own, only after a pause.
 */
import { statSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { codeOf, reasonOf } from "../../errno.ts";

/** The timestamp of a folder may lag by this much: one jiffy on the coarsest file systems. */
const COARSE_MS = 50;
/**
 * While we add files ourselves, the folder is read again only after this many times the duration of reading it, and at
 * least MIN ms.
 */
const REST = 20;
const SHORTEST_REST_MS = 50;

export interface FolderIndexOptions {
  /** Whether the folder is on a disk of this machine, where a look at it is faster than a wait for another thread. */
  readonly isLocal?: () => boolean;
  readonly list?: (folder: string) => Promise<readonly string[]>;
  readonly now?: () => number;
}

export class FolderIndex {
  readonly #folder: string;
  readonly #pattern: RegExp;
  readonly #list: (folder: string) => Promise<readonly string[]>;
  readonly #now: () => number;
  readonly #isLocal: () => boolean;
  #byEnd = new Map<string, Set<string>>();
  /** The beginnings of all names: undefined until somebody asks. May include those of removed files. */
  #starts: Set<string> | undefined;
  #known: { readonly mtime: bigint; readonly settled: boolean } | undefined;
  /** Whether we have added a file since the folder was read. */
  #added = false;
  #restsUntil = 0;
  #reading: Promise<void> | undefined;

  /** The first group of the pattern is the end by which names are looked up. */
  constructor(folder: string, pattern: RegExp, options: FolderIndexOptions = {}) {
    const { list = readdir, now = () => performance.now(), isLocal = () => false } = options;
    this.#now = now;
    this.#isLocal = isLocal;
    this.#folder = folder;
    this.#pattern = pattern;
    this.#list = list;
  }

  /** All names, sorted, as of now. Rejects with an Error for people. */
  async listAll(): Promise<readonly string[]> {
    try {
      return (await this.#list(this.#folder)).filter((file) => this.#pattern.test(file)).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw new Error(`the folder of recordings ${this.#folder} cannot be read: ${reasonOf(error, this.#folder)}`, {
        cause: error,
      });
    }
  }

  /** The names with this end, sorted. Rejects like `listAll`. */
  async listWithEnd(end: string): Promise<readonly string[]> {
    if (!(await this.#isKnown())) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return [...(this.#byEnd.get(end) ?? [])].sort();
  }

  /**
   * Whether no name had this beginning when the folder was last read. False if it was not read yet. Looks at nothing, so another
   * process may have added one since.
   */
  lacksStart(start: string): boolean {
    if (this.#known === undefined) return false;
    if (this.#starts === undefined) {
      this.#starts = new Set();
      for (const files of this.#byEnd.values()) for (const file of files) this.#starts.add(this.#startOf(file));
    }
    return !this.#starts.has(start);
  }

  /** Call this after writing a file. */
  add(file: string): void {
    this.#added = true;
    this.#put(file);
  }

  /** Call this after removing a file. */
  remove(file: string): void {
    this.#added = true;
    this.#byEnd.get(this.#endOf(file))?.delete(file);
  }

  async #isKnown(): Promise<boolean> {
    if (this.#known === undefined) return false;
    if (this.#added && this.#now() < this.#restsUntil) return true;
    return this.#known.settled && (await this.#mtime()) === this.#known.mtime;
  }

  async #read(): Promise<void> {
    const mtime = await this.#mtime();
    const age = Date.now() - Number(mtime / 1_000_000n);
    this.#added = false;
    const begun = this.#now();
    const files = await this.listAll();
    const over = this.#now();
    this.#restsUntil = over + Math.max(SHORTEST_REST_MS, (over - begun) * REST);
    this.#byEnd = new Map();
    this.#starts = undefined;
    for (const file of files) this.#put(file);
    this.#known = { mtime, settled: age > COARSE_MS };
  }

  #put(file: string): void {
    const end = this.#endOf(file);
    const files = this.#byEnd.get(end);
    if (files === undefined) this.#byEnd.set(end, new Set([file]));
    else files.add(file);
    this.#starts?.add(this.#startOf(file));
  }

  #startOf(file: string): string {
    return file.replace(this.#pattern, "");
  }

  #endOf(file: string): string {
    return this.#pattern.exec(file)?.[1] ?? "";
  }

  async #mtime(): Promise<bigint> {
    try {
      const how = { bigint: true } as const;
      return (this.#isLocal() ? statSync(this.#folder, how) : await stat(this.#folder, how)).mtimeNs;
    } catch {
      return 0n;
    }
  }
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}
