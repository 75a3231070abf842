/**
 * Times in which a shared store does not answer.
 *
 * Requests wait for a limited time for the store to return, and it is probed repeatedly in the meantime. After that
 * time, work continues without it until it returns.
 */
import { pause } from "../../abort.ts";
import { reasonOf } from "../../errno.ts";
import { formatTimeSpan } from "../../text/duration.ts";

export interface OutageOptions {
  /** The store's name. */
  readonly name: string;
  /** Any request to the store. Rejects if it does not answer. */
  readonly probe: () => Promise<unknown>;
  readonly warn: (message: string) => void;
  /** How long to wait for a store that has answered before. */
  readonly lostMs: number;
  /** How long to wait for a store that has never answered. */
  readonly absentMs: number;
  /** What happens after the wait, in words: "local recordings are used instead". */
  readonly otherwise: string;
  /** Called when the store is back. */
  readonly onReturn: () => void;
  /** Called whenever `reachable` has changed. */
  readonly onChange: () => void;
}

interface Outage {
  readonly error: unknown;
  /** True: the store is back. False: the time to wait is over. */
  readonly over: Promise<boolean>;
  readonly end: (returned: boolean) => void;
}

/** How long to wait before asking again, and how long before a warning. */
const FIRST_PROBE_MS = 100;
const SLOWEST_PROBE_MS = 3_000;
const SILENT_MS = 2_000;

export class Outages {
  readonly #options: OutageOptions;
  readonly #closed = new AbortController();
  #current: Outage | undefined;
  #reached = false;
  /** Since when the store has been reachable, or not reachable, in milliseconds since 1970. */
  #since: number | undefined;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** Whether the store is known not to answer at the moment. */
  get away(): boolean {
    return this.#current !== undefined;
  }

  /** Undefined: the store was not asked yet. */
  get reachable(): boolean | undefined {
    if (this.#current !== undefined) return false;
    return this.#reached ? true : undefined;
  }

  get since(): number | undefined {
    return this.#since;
  }

  /** Why the store does not answer. */
  get error(): unknown {
    return this.#current?.error;
  }

  /** Waits for the end of an outage. Returns false if the store is still down, and work continues without it. */
  async over(): Promise<boolean> {
    return (await this.#current?.over) ?? true;
  }

  /** The store has answered. */
  noteAnswer(): void {
    if (this.#reached) return;
    this.#reached = true;
    if (this.#current !== undefined) return;
    this.#since = Date.now();
    this.#options.onChange();
  }

  begin(error: unknown): void {
    if (this.#current !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const outage = { error, over: promise, end: resolve };
    this.#current = outage;
    this.#since = Date.now();
    this.#options.onChange();
    this.#wait(outage).catch(() => {});
    this.#probe(outage).catch(() => {});
  }

  /** Probes the store now. The first failure may be that of a connection that was begun before the store was back. */
  async tryNow(): Promise<void> {
    const outage = this.#current;
    if (outage === undefined) return;
    const { probe } = this.#options;
    await probe().catch(async () => {
      await pause(FIRST_PROBE_MS, this.#closed.signal);
      await probe();
    });
    this.#return(outage);
  }

  close(): void {
    this.#closed.abort();
    this.#current?.end(false);
  }

  async #wait(outage: Outage): Promise<void> {
    const { name, warn, lostMs, absentMs, otherwise } = this.#options;
    const limit = this.#reached ? lostMs : absentMs;
    const reason = reasonOf(outage.error, name);
    const begun = performance.now();
    if (limit > SILENT_MS) {
      await pause(SILENT_MS, this.#closed.signal);
      if (this.#current !== outage) return;
      warn(
        `${name} does not answer; waiting for it, up to ${formatTimeSpan(Math.round(limit / 1000) * 1000)}: ${reason}`,
      );
    }
    await pause(Math.max(0, limit - (performance.now() - begun)), this.#closed.signal);
    if (this.#current !== outage) return;
    warn(`${name} cannot be used, so ${otherwise}: ${reason}`);
    outage.end(false);
  }

  async #probe(outage: Outage): Promise<void> {
    for (let delay = FIRST_PROBE_MS; ; delay = Math.min(delay * 2, SLOWEST_PROBE_MS)) {
      await pause(delay * (0.75 + Math.random() / 2), this.#closed.signal);
      if (this.#current !== outage) return;
      try {
        await this.#options.probe();
        return this.#return(outage);
      } catch {
        // It is still down.
      }
    }
  }

  #return(outage: Outage): void {
    if (this.#current !== outage) return;
    this.#current = undefined;
    this.#since = Date.now();
    this.#reached = true;
    this.#options.onChange();
    outage.end(true);
    this.#options.onReturn();
  }
}
