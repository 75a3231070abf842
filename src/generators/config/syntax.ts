/** Formats syntax errors that Bun reports, with their position. */
import { isRecord } from "./options.ts";

/** Formats the error of an `import` as "FILE:LINE:COLUMN: reason". Undefined if it is not a syntax error. */
export function explainSyntaxError(error: unknown): string | undefined {
  if (!isRecord(error)) return undefined;
  // The first error is the mistake; the others usually follow from it.
  const first: unknown = Array.isArray(error.errors) ? error.errors[0] : error;
  if (!isRecord(first) || !isRecord(first.position)) return undefined;
  const { file, line, column } = first.position;
  return `${String(file)}:${String(line)}:${String(column)}: ${String(first.message)}`;
}

/** The same for a data file whose parser did not report the position. */
export async function explainDataError(file: string, type: "jsonc" | "toml"): Promise<string | undefined> {
  try {
    await import(file, { with: { type } });
    return undefined;
  } catch (error) {
    return explainSyntaxError(error);
  }
}
