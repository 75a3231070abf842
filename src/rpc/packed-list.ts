/** Long lists of plain values while they are sent from one thread to the other, as texts that are made in steps. */

/** A text of this length, in UTF-16 units, is complete. */
const LONG = 64 * 1024;

/** Yields texts, each a JSON list, and undefined after a step that completes none. An undefined value stands for a step too. */
export function* packList(values: Iterable<unknown>): Generator<string | undefined, undefined> {
  let text = "";
  for (const value of values) {
    if (value !== undefined) text += `${text === "" ? "[" : ","}${JSON.stringify(value)}`;
    yield text.length < LONG ? undefined : `${text}]`;
    if (text.length >= LONG) text = "";
  }
  if (text !== "") yield `${text}]`;
}

/** `T` is the type of what was packed. */
export function unpackList<T>({ parts }: { readonly parts: readonly string[] }): readonly T[] {
  return parts.flatMap((text): readonly T[] => JSON.parse(text));
}
