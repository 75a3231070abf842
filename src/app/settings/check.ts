/** The limits of a check. */
import { availableMemory } from "../machine/available-memory.ts";
import { GivenSettings, type SettingsFile } from "./given.ts";
import type { SettingsArguments } from "./table.ts";
import { parseCount, parseSize, parseTimeLimit } from "./values.ts";

export type CheckArguments = Pick<SettingsArguments, "repairs" | "checkTimeout" | "checkSpace">;

export interface CheckLimits {
  readonly repairs: number;
  readonly timeoutMs: number;
  readonly space: number;
}

/** More rounds would only burn money. */
const MOST_REPAIRS = 100;

/** Throws UserError. */
export function readCheckLimits(args: CheckArguments, files: readonly SettingsFile[] = []): CheckLimits {
  const given = new GivenSettings(args, {}, files);
  return {
    repairs: given.parse("repairs", (source, text) => parseCount(source, text, 0, MOST_REPAIRS)) ?? 3,
    timeoutMs: given.parse("checkTimeout", (source, text) => parseTimeLimit(source, text)) ?? 600_000,
    space: given.parse("checkSpace", (source, text) => parseSize(source, text, availableMemory)) ?? 4 * 2 ** 30,
  };
}
