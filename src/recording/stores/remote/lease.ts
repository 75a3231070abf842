/**
 * Keeps a claim on a server alive while its request is under way, and drops it afterwards.
 *
 * A claim always expires on the server. It is renewed only as long as the server confirms that it is still ours. If it
 * is gone because the server was emptied, it is made again. Dropping a claim never delays the answer that it was for.
 */
import { within } from "../../../abort.ts";
import type { Claim } from "../../recording.ts";

export interface Lease {
  /** Makes it live longer, or makes it again if nobody has it. False: somebody else has it. */
  renew(): Promise<boolean>;
  drop(): Promise<void>;
}

/**
 * Tokens of claims that were asked for without an answer, by place. The server may have made such a claim nevertheless: the
 * next attempt uses the same token, and so recognizes it.
 */
export class Tokens {
  readonly #unanswered = new Map<string, string>();

  /** Calls `work` with the token for a claim at this place, and whether it was used before. */
  async use<T>(place: string, who: string, work: (token: string, used: boolean) => Promise<T>): Promise<T> {
    const before = this.#unanswered.get(place);
    this.#unanswered.delete(place);
    const token = before ?? `${crypto.randomUUID()} ${who}`;
    try {
      return await work(token, before !== undefined);
    } catch (error) {
      this.#unanswered.set(place, token);
      throw error;
    }
  }
}

/** When the process ends: how long to wait for claims to be dropped. They expire anyway. */
const LAST_MS = 2_000;

export class Leases {
  readonly #claimMs: number;
  /** By claim: renews it at once. */
  readonly #held = new Map<Claim, () => void>();
  readonly #dropping = new Set<Promise<void>>();

  constructor(claimMs: number) {
    this.#claimMs = claimMs;
  }

  /** A claim that is ours, from now until it is disposed. */
  hold(lease: Lease): Claim {
    let renewing: Promise<void> | undefined;
    const renew = () => {
      renewing ??= lease
        .renew()
        // After an error nobody knows whose it is; it may still be ours the next time.
        .catch(() => true)
        .then((ours) => {
          renewing = undefined;
          if (!ours) stop();
        });
    };
    const timer = setInterval(renew, this.#claimMs / 3);
    const stop = () => {
      clearInterval(timer);
      this.#held.delete(claim);
    };
    const claim: Claim = {
      [Symbol.asyncDispose]: async () => {
        if (!this.#held.has(claim)) return;
        stop();
        // A renewal that is under way would bring the claim back.
        const dropped = Promise.resolve(renewing)
          .then(() => lease.drop())
          .catch(() => {});
        this.#dropping.add(dropped);
        dropped.finally(() => this.#dropping.delete(dropped));
      },
    };
    this.#held.set(claim, renew);
    return claim;
  }

  /** For a connection that was lost: the server may have been emptied in the meantime. */
  renewAll(): void {
    for (const renew of this.#held.values()) renew();
  }

  /** Work that nobody waits for, except the end of the process. */
  async settle(): Promise<void> {
    await within(LAST_MS, Promise.all(this.#dropping), () => new Error("late")).catch(() => {});
  }
}
