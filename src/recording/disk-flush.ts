/**
 * Gets files onto the disk after they were written.
 *
 * To flush each file for itself takes longer than to write it. So files are flushed together: soon after the first one, and when
 * somebody asks for it. A file that a crash of the machine damages before that is noticed by whoever reads it: a recording
 * contains the hash of its answer.
 */
import { type FileHandle, open } from "node:fs/promises";
import { codeOf } from "../errno.ts";

/** How long a file may wait for others. */
const TOGETHER_MS = 1000;
/** More files than this are flushed with everything else on their file system: that is faster than one by one. */
const FEW = 32;

/** The files of one folder. */
export class DiskFlush {
  readonly #folder: string;
  readonly #delayMs: number;
  #waiting = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  /** A failure that nobody has been told. */
  #failure: unknown;

  constructor(folder: string, delayMs = TOGETHER_MS) {
    this.#folder = folder;
    this.#delayMs = delayMs;
  }

  /** Call this after writing a file or renaming it. */
  add(path: string): void {
    this.#waiting.add(path);
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch((error: unknown) => {
        this.#failure ??= error;
      });
    }, this.#delayMs);
    this.#timer.unref();
  }

  /** Resolves when all files added so far are on the disk. Rejects if that, or an earlier flush, failed. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running = this.#running.catch(() => {}).then(() => this.#flushAll());
    await this.#running;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  async #flushAll(): Promise<void> {
    const paths = this.#waiting;
    if (paths.size === 0) return;
    this.#waiting = new Set();
    if (paths.size > FEW && (await flushFileSystem(this.#folder))) return;
    for (const path of paths) await flushFile(path);
    // Their names.
    await flushFile(this.#folder);
  }
}

/** Does nothing if the file was removed, or if its file system cannot flush. */
async function flushFile(path: string): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    await file.sync();
  } catch (error) {
    if (!["ENOENT", "EACCES", "EINVAL", "ENOTSUP"].includes(codeOf(error) ?? "")) throw error;
  } finally {
    await file?.close();
  }
}

/**
 * syncfs(2), in a process of its own, because it blocks its thread for as long as the disk takes. False if the program is not
 * there, or failed.
 */
async function flushFileSystem(folder: string): Promise<boolean> {
  try {
    const child = Bun.spawn(["sync", "-f", "--", folder], { stdio: ["ignore", "ignore", "ignore"] });
    return (await child.exited) === 0;
  } catch {
    return false;
  }
}
