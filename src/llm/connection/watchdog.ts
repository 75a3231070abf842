import { formatTimeSpan } from "../../text/duration.ts";
import { createCancellation, type Party } from "../failure.ts";
import { LlmError } from "../llm.ts";
import { mayHaveConnected } from "./sockets.ts";

export interface Timeouts {
  /** From sending a request to the first byte of its answer's body. Servers that do not stream need a long time. */
  readonly firstByteMs: number;
  /** Between two pieces of a streamed answer. Reasoning models are silent while they think. */
  readonly stallMs: number;
  /**
   * From the end of a streamed text to whatever may follow (usage, [DONE]), without which the text is still complete.
   */
  readonly restMs: number;
  /** One `complete`, with all its attempts and the pauses between them. */
  readonly totalMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { firstByteMs: 180_000, stallMs: 120_000, restMs: 2000, totalMs: 900_000 };

/**
 * Ends an attempt when the caller cancels it, when the server is silent for too long, or when the total takes too long.
 *
 * The reason of its signal is the LlmError for that case. Dispose it when the attempt is over.
 */
export class Watchdog implements Disposable {
  readonly #controller = new AbortController();
  readonly #party: Party;
  readonly #timeouts: Timeouts;
  readonly #caller: AbortSignal | undefined;
  readonly #total: Timer;
  readonly #cutOff = Promise.withResolvers<never>();
  #silence: Timer | undefined;
  /** When bytes arrived; until then, when the request began. */
  #heardAt = performance.now();
  #heard = false;
  /** Where the request is being sent, until its answer begins. */
  #address: string | undefined;
  #answered = false;

  /** `endsAt` is on the clock of `performance.now()`. */
  constructor(party: Party, timeouts: Timeouts, endsAt: number, caller: AbortSignal | undefined) {
    this.#party = party;
    this.#timeouts = timeouts;
    this.#caller = caller;
    // The rejection is for callers of `race`; without any, it must not count as unhandled.
    this.#cutOff.promise.catch(() => {});
    this.#listen(timeouts.firstByteMs);
    const left = Math.max(0, endsAt - performance.now());
    this.#total = setTimeout(
      () => this.#cut(`gave no complete answer within ${formatTimeSpan(timeouts.totalMs)}`),
      left,
    );
    if (caller?.aborted) this.#onCaller();
    else caller?.addEventListener("abort", this.#onCaller, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Call this when the request is about to be sent. */
  onSending(url: string): void {
    this.#address = url;
  }

  /** Call this when the status and headers arrive. */
  onAnswer(): void {
    this.#answered = true;
  }

  /** Call this when bytes arrive: the server is alive. */
  onBytes(): void {
    this.#heardAt = performance.now();
    if (this.#heard) return;
    this.#heard = true;
    clearTimeout(this.#silence);
    if (!this.signal.aborted) this.#listen(this.#timeouts.stallMs);
  }

  /** The promise, or the signal's reason as soon as it fires, even if the work ignores the signal. */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#cutOff.promise]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#total);
    this.#caller?.removeEventListener("abort", this.#onCaller);
  }

  readonly #onCaller = (): void => this.#abort((sent) => createCancellation(this.#party, sent));

  #abort(reasonFor: (sent: boolean) => LlmError): void {
    if (this.signal.aborted) return;
    const sent = this.#answered || (this.#address !== undefined && mayHaveConnected(this.#address));
    const reason = reasonFor(sent);
    this.#controller.abort(reason);
    this.#cutOff.reject(reason);
  }

  /** One timer, however many pieces an answer has: when it fires, it waits for the rest of the time since the last one. */
  #listen(ms: number): void {
    const limit = this.#heard ? this.#timeouts.stallMs : this.#timeouts.firstByteMs;
    this.#silence = setTimeout(() => {
      const left = this.#heardAt + limit - performance.now();
      if (left > 0) return this.#listen(left);
      this.#cut(`${this.#heard ? "stopped in the middle of its answer" : "sent nothing"} for ${formatTimeSpan(limit)}`);
    }, ms);
  }

  #cut(what: string): void {
    const { host, model } = this.#party;
    const message = `${host} ${what} (model ${model}); is the server overloaded, or still loading the model? Allow more time with --timeout`;
    this.#abort((sent) => new LlmError("timeout", message, { sent }));
  }
}
