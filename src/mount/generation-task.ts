/** The main thread's part of one attempt, from the request to its answer. */
import { FsError } from "../errno.ts";
import type { ContentSink, Stage } from "../rpc/generation.ts";
import type { FromFilesystem, ToFilesystem } from "../rpc/messages.ts";

/** Maximum number of pieces of a content stream that are on their way to the other thread at a time. */
const WINDOW = 4;

export class GenerationTask implements ContentSink {
  readonly #ticket: number;
  readonly #post: (message: ToFilesystem) => void;
  readonly #stop = new AbortController();
  #underWay = 0;
  #refused: FsError | undefined;
  #wake = () => {};
  /** Called when a program that generates the content waits for another file. */
  #tell: ((over: Promise<void>) => void) | undefined;
  #waiting = 0;
  #over = Promise.withResolvers<void>();
  #stage: Stage = "preparing";
  /** The stage that the other thread knows. */
  #reported: Stage = "preparing";

  constructor(ticket: number, post: (message: ToFilesystem) => void) {
    this.#ticket = ticket;
    this.#post = post;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The result is no longer wanted. */
  cancel(): void {
    this.#stop.abort();
  }

  /** Sets the stage. A change that is reversed within the same turn of the event loop is not sent. */
  setStage(stage: Stage): void {
    if (this.#stage === this.#reported && stage !== this.#stage) queueMicrotask(() => this.#report());
    this.#stage = stage;
  }

  #report(): void {
    if (this.#stage === this.#reported) return;
    this.#reported = this.#stage;
    this.#post({ type: "stage", ticket: this.#ticket, stage: this.#stage });
  }

  /** Sends a piece of the content to the other thread, which may be a few pieces behind. */
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

  /** A program generates the content. `waits` is called each time it, or a child of it, waits for another file. */
  setMaker(pid: number, waits: (over: Promise<void>) => void): void {
    this.#tell = waits;
    this.#post({ type: "working", ticket: this.#ticket, pid });
  }

  /** A program of the task starts to wait, or stops waiting. */
  setWaiting(begins: boolean): void {
    this.#waiting += begins ? 1 : -1;
    if (begins && this.#waiting === 1) {
      this.#over = Promise.withResolvers();
      this.#tell?.(this.#over.promise);
    } else if (this.#waiting === 0) this.#over.resolve();
  }

  /** A generator that has not noticed its end yet does so with its next piece. */
  end(why: FsError): void {
    this.#over.resolve();
    this.#refuse(why);
  }

  #refuse(error: FsError): void {
    this.#refused ??= error;
    this.#wake();
  }
}
