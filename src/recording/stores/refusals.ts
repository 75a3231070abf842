/**
 * Requests that a reachable shared store refuses: for example, a permission is missing, or the store is full.
 *
 * After a refusal the store is left alone for a while. During that time its work is either done by the local store, if
 * this machine may pay alone, or it is an error.
 */
import { reasonOf } from "../../errno.ts";
import { StoreRefusal } from "../recording.ts";

/** A store that refuses to be read is not written either. */
export type Access = "reading" | "writing";

export interface RefusalOptions {
  /** The name of the shared store, and that of the local one. */
  readonly name: string;
  readonly localName: string | undefined;
  /** Whether the local store is used instead. */
  readonly alone: boolean;
  readonly restMs: number;
  readonly warn: (message: string) => void;
}

interface Refusal {
  /** By `performance.now`. */
  readonly until: number;
  readonly error: StoreRefusal;
}

export class Refusals {
  readonly #options: RefusalOptions;
  readonly #latest: Partial<Record<Access, Refusal>> = {};
  #warned = false;

  constructor(options: RefusalOptions) {
    this.#options = options;
  }

  /** Returns the error to throw; undefined if the local store is used instead. */
  add(access: Access, cause: unknown): StoreRefusal | undefined {
    const { alone, restMs } = this.#options;
    const error = this.#explain(access, cause);
    const refusal = { until: performance.now() + restMs, error };
    this.#latest.writing = refusal;
    if (access === "reading") this.#latest.reading = refusal;
    this.#warn(access, cause, error);
    return alone ? undefined : error;
  }

  /** The refusal after which the store is still left alone. */
  current(access: Access): StoreRefusal | undefined {
    const refusal = this.#latest[access];
    return refusal !== undefined && performance.now() < refusal.until ? refusal.error : undefined;
  }

  #warn(access: Access, cause: unknown, error: StoreRefusal): void {
    const { name, localName, alone, warn } = this.#options;
    if (this.#warned) return;
    this.#warned = true;
    const trouble = access === "reading" ? "cannot be used" : "cannot be written";
    warn(alone ? `${name} ${trouble}, so ${localName} are used instead: ${reasonOf(cause, name)}` : error.message);
  }

  #explain(access: Access, cause: unknown): StoreRefusal {
    const { name } = this.#options;
    const trouble = access === "reading" ? "cannot be read" : "cannot be written";
    return new StoreRefusal(
      `${name} ${trouble}: ${reasonOf(cause, name).replace(/\.$/, "")}. So no request is sent, because each machine would pay for its own ` +
        "answer. Give llmfs the rights and the space that docs/fleet.md lists, use --mode replay if everything is " +
        "recorded, or let this machine pay alone with --no-recordings-required",
    );
  }
}
