import type { Failure } from "../failure.ts";

export interface Retries {
  /** Attempts in all, the first included. */
  readonly attempts: number;
  /** Pause before the second attempt; doubled before each one after it. */
  readonly baseMs: number;
  /** No pause of our own choosing is longer. */
  readonly maxMs: number;
  /** A Retry-After longer than this is not waited for: the reader gets the failure, and the reason, at once. */
  readonly maxRetryAfterMs: number;
}

export const DEFAULT_RETRIES: Retries = { attempts: 5, baseMs: 500, maxMs: 20_000, maxRetryAfterMs: 60_000 };

/**
 * How long to wait before attempt `attempt + 1`, or the reason in words why there is none ("" if the failure says it all).
 *
 * Exponential, with a jitter of half its length, or what the server asks and up to a tenth more: many readers who were
 * refused together do not come back together.
 */
export function delayBefore(failure: Failure, attempt: number, retries: Retries, leftMs: number): number | string {
  if (!failure.transient) return "";
  if (attempt >= retries.attempts) return "";
  const asked = failure.retryAfterMs;
  if (asked !== undefined && asked > retries.maxRetryAfterMs) {
    return `the server asks to wait ${Math.ceil(asked / 1000)} s, longer than a reader is kept waiting`;
  }
  const backOff = Math.min(retries.maxMs, retries.baseMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
  const delay = Math.max(backOff, (asked ?? 0) * (1 + Math.random() / 10));
  return delay < leftMs ? delay : "no time is left for another attempt";
}
