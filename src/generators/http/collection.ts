/** The items of a collection as one file: JSON, NDJSON, or a table with a column for each of their members. */
import { FsError } from "../../errno.ts";
import { kindOf } from "../json.ts";
import { isRecord } from "../options.ts";
import { type Format, formatted } from "../sql/format.ts";
import type { Value } from "../sql/rows.ts";

type Batches = AsyncIterable<{ readonly items: readonly unknown[] }>;

/** Page by page; a table whose columns nobody named needs all items first. Rejects with FsError. */
export async function* collection(
  pages: Batches,
  format: Format,
  columns: readonly string[] | undefined,
): AsyncGenerator<string> {
  if (format === "json" || format === "ndjson") yield* values(pages, format);
  else if (columns !== undefined) yield* table(pages, format, columns);
  else {
    const items = (await Array.fromAsync(pages)).flatMap((page) => page.items);
    yield* table([{ items }], format, [...new Set(items.flatMap((item) => Object.keys(membersOf(item))))]);
  }
}

async function* values(pages: Batches, format: "json" | "ndjson"): AsyncGenerator<string> {
  const [head, between, before, end] = format === "json" ? ["[", ",", "\n  ", "\n]\n"] : ["", "", "", ""];
  let count = 0;
  yield head;
  for await (const { items } of pages) {
    let text = "";
    for (const item of items) {
      text += `${count++ === 0 ? "" : between}${before}${JSON.stringify(item)}${format === "json" ? "" : "\n"}`;
    }
    yield text;
  }
  yield count === 0 && format === "json" ? "]\n" : end;
}

async function* table(
  pages: Batches | Iterable<{ readonly items: readonly unknown[] }>,
  format: Exclude<Format, "json" | "ndjson">,
  columns: readonly string[],
): AsyncGenerator<string> {
  const { head, row } = formatted(format, false);
  // No items, and so no members: not even a line with no name in it.
  if (columns.length === 0) return;
  yield head(columns);
  for await (const { items } of pages) {
    let text = "";
    for (const item of items) {
      const members = membersOf(item);
      text += row(
        columns.map((name) => cellOf(Object.hasOwn(members, name) ? members[name] : null)),
        columns,
        false,
      );
    }
    yield text;
  }
}

function membersOf(item: unknown): Readonly<Record<string, unknown>> {
  if (isRecord(item) && !JSON.isRawJSON(item)) return item;
  throw new FsError("EIO", `an item is ${kindOf(item)}: a table is made of objects; .json and .ndjson hold anything`);
}

function cellOf(value: unknown): Value {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return { json: JSON.stringify(value) };
}
