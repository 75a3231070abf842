/** Mistakes in a configuration, with the keys that lead to them. */
import { findNearest } from "../../text/did-you-mean.ts";

/** The keys and positions that lead to a value: ["rules", 1, "match"]. */
export type KeyPath = readonly (string | number)[];

export class ConfigProblem extends Error {
  readonly path: KeyPath;

  constructor(path: KeyPath, message: string, options?: ErrorOptions) {
    super(message, options);
    this.path = path;
  }
}

/** Adds the name of the file to a message that lacks it. */
export function nameFile(file: string, error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const named = message.includes(file) ? message : `${file}: ${message}`;
  return new ConfigProblem(error instanceof ConfigProblem ? error.path : [], named, { cause: error });
}

export function explainUnknownKey(key: string, known: readonly string[]): string {
  if (/^(openai|llmfs)?[-_]?(api)?[-_]?(key|token|secret)$/i.test(key)) {
    return `unknown key ${JSON.stringify(key)}; a secret is never in a file: set OPENAI_API_KEY, or refer to a variable in headers`;
  }
  const guess = findNearest(key, known);
  return `unknown key ${JSON.stringify(key)}; ${guess === undefined ? `expected one of: ${known.join(", ")}` : `did you mean ${guess}?`}`;
}
