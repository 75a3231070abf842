/** What a `user.llmfs.*` attribute may be set to. What nobody could use is refused where it is set, not where it is used. */
import { FsError } from "../../errno.ts";
import { nearest } from "../../text/did-you-mean.ts";
import { parsePolicy } from "../lazy/freshness.ts";

type SettingCheck = (text: string) => string | undefined;

const RULES: ReadonlyMap<string, SettingCheck> = new Map<string, SettingCheck>([
  ["prompt", () => undefined],
  ["description", () => undefined],
  ["depends", () => undefined],
  ["model", nameFault],
  ["generator", nameFault],
  ["temperature", numberIn(0, 2)],
  ["max-tokens", numberIn(1, 1e9)],
  [
    "refresh",
    (text) =>
      text === "once" || parsePolicy(text) !== undefined ? undefined : 'it must be "always", or a time as 300s',
  ],
]);

const OURS = "user.llmfs.";

/** Throws FsError EINVAL. An empty value sets nothing, and is none. */
export function checkSetting(name: string, value: Uint8Array): void {
  if (!name.startsWith(OURS) || value.length === 0) return;
  const fault = RULES.get(name.slice(OURS.length));
  if (fault === undefined) return;
  const text = Buffer.from(value).toString("utf8");
  if (text.includes("\0") || !Buffer.from(text).equals(value))
    throw new FsError("EINVAL", `${name} is no text in UTF-8`);
  const wrong = text.trim() === "" ? undefined : fault(text);
  if (wrong !== undefined) throw new FsError("EINVAL", `${name} is ${JSON.stringify(text.slice(0, 40))}; ${wrong}`);
}

/** What means something, besides settings. */
const TOLD = ["state", "error", "regen", "origin", "meta"];

/**
 * The name that was probably meant, where one of ours is misspelt. It is stored all the same: names that are not known
 * may be a later version's, in a copy or a snapshot of its tree.
 */
export function suggestName(name: string): string | undefined {
  if (!name.startsWith(OURS)) return undefined;
  const own = name.slice(OURS.length);
  if (RULES.has(own) || TOLD.includes(own) || own.startsWith("meta.")) return undefined;
  const guess = nearest(own, [...RULES.keys(), ...TOLD]);
  return guess === undefined ? undefined : `${OURS}${guess}`;
}

function nameFault(text: string): string | undefined {
  return /\p{Cc}/u.test(text) ? "it must be a name, on one line" : undefined;
}

function numberIn(least: number, most: number): SettingCheck {
  return (text) => {
    const number = Number(text);
    return number >= least && number <= most ? undefined : `it must be a number from ${least} to ${most}`;
  };
}
