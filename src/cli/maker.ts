/** Has files of a mount made ahead, through its `.llmfs/make`: see fs/making.ts for what is said there. */
import { type FileHandle, open } from "node:fs/promises";
import { messageOf } from "../errno.ts";
import { MAKE, MAKE_BYTES, STOP } from "../fs/making.ts";
import { pathBytes } from "../fs/still.ts";
import { checkSystemCalls, ioctl } from "../libc.ts";
import { CliError } from "./exit.ts";
import { controlFile } from "./mounted.ts";

export class Maker implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #count = 0;
  #unsaid: Uint8Array[] = [];
  #listening = false;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Throws CliError("notMounted") where the mount has none; NativeCodeError. */
  static async of(mountpoint: string): Promise<Maker> {
    const path = controlFile(mountpoint, "make");
    checkSystemCalls();
    try {
      return new Maker(await open(path));
    } catch (error) {
      throw new CliError("notMounted", `${path} cannot be opened: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Resolves when the file has its content. Rejects with an Error that names the errno, or what became of the mount. */
  readonly make = (path: string): Promise<void> => {
    const made = Promise.withResolvers<void>();
    this.#waiting.set(this.#count++, made);
    // What is asked for in one turn is said at once.
    if (this.#unsaid.length === 0) queueMicrotask(() => this.#say());
    this.#unsaid.push(pathBytes(path), NUL);
    return made.promise;
  };

  /** Nobody wants any longer what is under way: resolves when all who wait are told so. False if there were none. */
  async stop(): Promise<boolean> {
    const waiting = [...this.#waiting.values()];
    if (waiting.length === 0 || ioctl(this.#file.fd, STOP, NUL) < 0) return false;
    await Promise.allSettled(waiting.map(({ promise }) => promise));
    return true;
  }

  /** Nobody wants any longer what is under way, once a read that waits is over: at the latest when this process ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#listening) await this.#file.close();
  }

  #say(): void {
    const bytes = Buffer.concat(this.#unsaid);
    this.#unsaid = [];
    for (let at = 0; at < bytes.length; at += MAKE_BYTES) {
      const part = bytes.subarray(at, at + MAKE_BYTES);
      const result = ioctl(this.#file.fd, MAKE + part.length * 2 ** 16, part);
      if (result < 0) return this.#lost(new Error(`the mount does not take it: errno ${-result}`));
    }
    if (!this.#listening) this.#listen().catch((error: unknown) => this.#lost(error));
  }

  async #listen(): Promise<void> {
    this.#listening = true;
    try {
      const buffer = Buffer.alloc(4096);
      for (let rest = ""; this.#waiting.size > 0; ) {
        const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, null);
        if (bytesRead === 0) throw new Error("the mount has forgotten what it was asked for");
        const lines = (rest + buffer.toString("latin1", 0, bytesRead)).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) this.#settle(line);
      }
    } finally {
      this.#listening = false;
    }
  }

  #settle(line: string): void {
    const [number, code] = line.split(" ");
    const made = this.#waiting.get(Number(number));
    this.#waiting.delete(Number(number));
    if (code === undefined) made?.resolve();
    else made?.reject(new Error(code));
  }

  #lost(error: unknown): void {
    for (const made of this.#waiting.values()) made.reject(error);
    this.#waiting.clear();
  }
}

const NUL = Uint8Array.of(0);
