/** What Bun found wrong with the syntax of a file, and where. */
import { isRecord } from "./options.ts";

/** "FILE:LINE:COLUMN: reason" of what `import` rejected with; undefined where that was not about syntax. */
export function explainSyntaxError(error: unknown): string | undefined {
  if (!isRecord(error)) return undefined;
  // The first is the mistake; the others follow from it.
  const first: unknown = Array.isArray(error.errors) ? error.errors[0] : error;
  if (!isRecord(first) || !isRecord(first.position)) return undefined;
  const { file, line, column } = first.position;
  return `${String(file)}:${String(line)}:${String(column)}: ${String(first.message)}`;
}

/** The same of a file of data, which its parser refused without a word about the place. */
export async function explainDataError(file: string, type: "jsonc" | "yaml" | "toml"): Promise<string | undefined> {
  try {
    await import(file, { with: { type } });
    return undefined;
  } catch (error) {
    return explainSyntaxError(error);
  }
}
