/** The options of a rule for the model. */
import type { SourceGenerator } from "../source.ts";
import { type Options, readText, readTexts, refuseUnknownOptions } from "./options.ts";

export const MODEL_OPTIONS = ["prompt", "model", "description", "depends", "max-tokens", "temperature"] as const;

export const FOR_MODEL = {
  validate(options) {
    refuseUnknownOptions(options, MODEL_OPTIONS);
    for (const name of ["prompt", "model", "description"]) readText(options, name);
    readTexts(options, "depends");
    checkNumber(options, "max-tokens", 1, 1e9);
    checkNumber(options, "temperature", 0, 2);
  },
} satisfies Partial<SourceGenerator>;

function checkNumber(options: Options, name: string, least: number, most: number): void {
  const value = options[name];
  if (value === undefined || (typeof value === "number" && value >= least && value <= most)) return;
  throw new Error(`the option "${name}" must be a number from ${least} to ${most}`);
}
