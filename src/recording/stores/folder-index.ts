/**
 * The names of the files in a folder of recordings, by the end of the name, which is the key's beginning.
 *
 * A folder may hold a hundred thousand, and every answer that is not recorded yet asks for all names of its key. The
 * folder is read again when it changed; where the change may be our own, only after a rest.
 */
import { readdir, stat } from "node:fs/promises";
import { codeOf, messageOf } from "../../errno.ts";

/** Times of a folder stand still for so long while it changes: a jiffy, on the file systems that are coarsest. */
const COARSE_MS = 50;
/** While we add to the folder ourselves, it is left alone so many times as long as reading it took, and at least so long. */
const REST = 20;
const SHORTEST_REST_MS = 50;

export class FolderIndex {
  readonly #folder: string;
  readonly #pattern: RegExp;
  readonly #list: (folder: string) => Promise<readonly string[]>;
  readonly #now: () => number;
  #byEnd = new Map<string, Set<string>>();
  #known: { readonly mtime: bigint; readonly settled: boolean } | undefined;
  /** Whether we added something since the folder was read. */
  #added = false;
  #restsUntil = 0;
  #reading: Promise<void> | undefined;

  /** The pattern's first group is the end by which a name is looked for. */
  constructor(
    folder: string,
    pattern: RegExp,
    list: (folder: string) => Promise<readonly string[]> = readdir,
    now = () => performance.now(),
  ) {
    this.#now = now;
    this.#folder = folder;
    this.#pattern = pattern;
    this.#list = list;
  }

  /** All of them, sorted, as of now. Rejects with an Error in people's words. */
  async listAll(): Promise<readonly string[]> {
    try {
      return (await this.#list(this.#folder)).filter((file) => this.#pattern.test(file)).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw new Error(`the folder of recordings ${this.#folder} cannot be read: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Those with this end, sorted. Rejects as `all` does. */
  async ending(end: string): Promise<readonly string[]> {
    if (!(await this.#isKnown())) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return [...(this.#byEnd.get(end) ?? [])].sort();
  }

  /** We have written a file. */
  add(file: string): void {
    this.#added = true;
    this.#put(file);
  }

  /** We have removed a file. */
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
    for (const file of files) this.#put(file);
    this.#known = { mtime, settled: age > COARSE_MS };
  }

  #put(file: string): void {
    const end = this.#endOf(file);
    const files = this.#byEnd.get(end);
    if (files === undefined) this.#byEnd.set(end, new Set([file]));
    else files.add(file);
  }

  #endOf(file: string): string {
    return this.#pattern.exec(file)?.[1] ?? "";
  }

  async #mtime(): Promise<bigint> {
    try {
      return (await stat(this.#folder, { bigint: true })).mtimeNs;
    } catch {
      return 0n;
    }
  }
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}
