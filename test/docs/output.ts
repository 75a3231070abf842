/** Compares what a command printed with what a document shows. */

/**
 * Returns the first difference. In a document, `…` stands for anything, and lines of JSON have the members that are
 * shown, in this order; the values of `varying` members only have the same type.
 */
export function compareOutput(
  shown: readonly string[],
  printed: string,
  varying: readonly string[],
): string | undefined {
  const lines = printed.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const [index, expected] of shown.entries()) {
    const actual = lines[index];
    if (actual === undefined || !matches(expected, actual, varying)) {
      return `shown:   ${expected}\nprinted: ${actual ?? "nothing"}`;
    }
  }
  return lines.length > shown.length ? `printed in addition: ${lines[shown.length]}` : undefined;
}

function matches(expected: string, actual: string, varying: readonly string[]): boolean {
  if (expected.includes("…")) {
    const parts = expected.split("…").map((part) => part.replace(/[.*+?^$(){}|[\]\\]/g, "\\$&"));
    return new RegExp(`^${parts.join(".*")}$`).test(actual);
  }
  if (!expected.startsWith("{")) return expected === actual;
  const shape = (text: string) =>
    JSON.stringify(JSON.parse(text, (key, value) => (varying.includes(key) ? typeof value : value)));
  try {
    return shape(expected) === shape(actual);
  } catch {
    return false;
  }
}
