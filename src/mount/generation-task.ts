/** What the main thread makes for the filesystem thread: one attempt, from the request to its answer. */
import { FsError } from "../errno.ts";
import type { ContentSink, Stage } from "../rpc/generation.ts";
import type { FromFilesystem, ToFilesystem } from "../rpc/messages.ts";

/** Pieces of one content that are under way to the other thread at a time. */
const WINDOW = 4;

export class GenerationTask implements ContentSink {
  readonly #ticket: number;
  readonly #post: (message: ToFilesystem) => void;
  readonly #stop = new AbortController();
  #underWay = 0;
  #refused: FsError | undefined;
  #wake = () => {};
  /** Called when a program that makes the content waits for another file. */
  #tell: ((over: Promise<void>) => void) | undefined;
  #waiting = 0;
  #over = Promise.withResolvers<void>();
  #stage: Stage = "preparing";
  /** As the other thread knows it. */
  #reported: Stage = "preparing";

  constructor(ticket: number, post: (message: ToFilesystem) => void) {
    this.#ticket = ticket;
    this.#post = post;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Nobody wants it any more. */
  cancel(): void {
    this.#stop.abort();
  }

  /** How far it has come. What changes back within the same turn is not worth a message. */
  setStage(stage: Stage): void {
    if (this.#stage === this.#reported && stage !== this.#stage) queueMicrotask(() => this.#report());
    this.#stage = stage;
  }

  #report(): void {
    if (this.#stage === this.#reported) return;
    this.#reported = this.#stage;
    this.#post({ type: "stage", ticket: this.#ticket, stage: this.#stage });
  }

  /** Gives a piece of the content to the other thread, a few pieces ahead of it. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#refused !== undefined) throw this.#refused;
    this.#underWay += 1;
    this.#post({ type: "piece", ticket: this.#ticket, bytes });
    while (this.#underWay >= WINDOW && this.#refused === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#refused !== undefined) throw this.#refused;
  }

  onTaken({ code, message }: Extract<FromFilesystem, { type: "taken" }>): void {
    this.#underWay -= 1;
    if (code === undefined) this.#wake();
    else this.#refuse(new FsError(code, message));
  }

  /** A program makes the content. `waits` is called each time it, or a child of it, waits for another file. */
  setMaker(pid: number, waits: (over: Promise<void>) => void): void {
    this.#tell = waits;
    this.#post({ type: "working", ticket: this.#ticket, pid });
  }

  /** A program of it begins to wait, or does so no longer. */
  setWaiting(begins: boolean): void {
    this.#waiting += begins ? 1 : -1;
    if (begins && this.#waiting === 1) {
      this.#over = Promise.withResolvers();
      this.#tell?.(this.#over.promise);
    } else if (this.#waiting === 0) this.#over.resolve();
  }

  /** A generator that did not notice its end yet does so with its next piece. */
  end(why: FsError): void {
    this.#over.resolve();
    this.#refuse(why);
  }

  #refuse(error: FsError): void {
    this.#refused ??= error;
    this.#wake();
  }
}
