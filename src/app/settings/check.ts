/** The limits of a check, from flags. */
import { availableMemory } from "../machine/available-memory.ts";
import { parseCount, parseDuration, parseOptional, parseSize } from "./values.ts";

export interface CheckArguments {
  readonly repairs?: string | undefined;
  readonly checkTimeout?: string | undefined;
  readonly checkSpace?: string | undefined;
}

export interface CheckLimits {
  readonly repairs: number;
  readonly timeoutMs: number;
  readonly space: number;
}

/** More rounds would only burn money. */
const MOST_REPAIRS = 100;

/** Throws UsageError. */
export function readCheckLimits(args: CheckArguments): CheckLimits {
  return {
    repairs: parseOptional(args.repairs, (text) => parseCount("--repairs", text, 0, MOST_REPAIRS)) ?? 3,
    timeoutMs: parseOptional(args.checkTimeout, (text) => parseDuration("--check-timeout", text)) ?? 600_000,
    space: parseOptional(args.checkSpace, (text) => parseSize("--check-space", text, availableMemory)) ?? 4 * 2 ** 30,
  };
}
