/** Counts what a mount gets from its store of recordings, for `.llmfs/status.json`. */
import type { RecordingStore } from "./recording.ts";

/** As status.json has it. */
export interface StoreStatus {
  /** The store's name, without passwords. */
  readonly store: string;
  /** Whether the store answers. Null: it was not asked yet, or it is a folder. */
  readonly reachable: boolean | null;
  /** Since when it has answered, or not answered, as ISO 8601. */
  readonly since: string | null;
  /** Answers that were recorded, and those that were not. */
  readonly hits: number;
  readonly misses: number;
  /** Answers that another process was generating; and those that are waited for at the moment. */
  readonly waits: number;
  readonly waiting: number;
  /** Answers that the store does not have yet, because it was away or could not be written. */
  readonly onlyLocal: number;
}

export class StoreMetrics {
  readonly #store: RecordingStore;
  readonly #onChange: () => void;
  #hits = 0;
  #misses = 0;
  #waits = 0;
  #waiting = 0;

  constructor(store: RecordingStore, onChange: () => void) {
    this.#store = store;
    this.#onChange = onChange;
  }

  countLookup(found: boolean): void {
    if (found) this.#hits += 1;
    else this.#misses += 1;
    this.#onChange();
  }

  /** Dispose it when the wait is over. */
  countWait(): Disposable {
    this.#waits += 1;
    this.#waiting += 1;
    this.#onChange();
    return {
      [Symbol.dispose]: () => {
        this.#waiting -= 1;
        this.#onChange();
      },
    };
  }

  get status(): StoreStatus {
    const { reachable, since, onlyLocal } = this.#store.health?.() ?? { onlyLocal: 0 };
    return {
      store: this.#store.name,
      reachable: reachable ?? null,
      since: since === undefined ? null : new Date(since).toISOString(),
      hits: this.#hits,
      misses: this.#misses,
      waits: this.#waits,
      waiting: this.#waiting,
      onlyLocal,
    };
  }
}
