import { formatTimeSpan } from "../../text/duration.ts";
import type { Failure } from "../failure.ts";

export interface Retries {
  /** The total number of attempts, including the first. */
  readonly attempts: number;
  /** The pause before the second attempt; it doubles for each later one. */
  readonly baseMs: number;
  /** The maximum pause, except for Retry-After. */
  readonly maxMs: number;
  /** A longer Retry-After is not waited for: the reader gets the failure and the reason at once. */
  readonly maxRetryAfterMs: number;
}

export const DEFAULT_RETRIES: Retries = { attempts: 5, baseMs: 500, maxMs: 20_000, maxRetryAfterMs: 60_000 };

/**
 * How long to wait before attempt `attempt + 1`, or the reason, in words, not to retry ("" if the failure explains it).
 *
 * The delay is exponential with a jitter of half its length, or what the server requests plus up to a tenth: many
 * readers who were refused at the same time must not return at the same time.
 */
export function delayBefore(failure: Failure, attempt: number, retries: Retries, leftMs: number): number | string {
  if (!failure.transient) return "";
  if (attempt >= retries.attempts) return "";
  const asked = failure.retryAfterMs;
  if (asked !== undefined && asked > retries.maxRetryAfterMs) {
    return `the server asks to wait ${formatTimeSpan(Math.ceil(asked / 1000) * 1000)}, which is too long for a reader to wait`;
  }
  const backOff = Math.min(retries.maxMs, retries.baseMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
  const delay = Math.max(backOff, (asked ?? 0) * (1 + Math.random() / 10));
  return delay < leftMs ? delay : "no time is left for another attempt";
}
