/** The items of a collection as one file: JSON, NDJSON, or a table with a column for each member. */
import { FsError } from "../../../errno.ts";
import { Pace } from "../../../text/pace.ts";
import { isRecord } from "../../config/options.ts";
import { kindOf, parseExactJson } from "../../formats/json.ts";
import { createFormatter, type Format } from "../sql/row-format.ts";
import type { SqlValue } from "../sql/rows.ts";

/** Items as JSON, each on one line. */
type Pages = AsyncIterable<{ readonly items: readonly string[] }>;

/** The maximum number of columns: a row has a cell for each, used or not. */
const MOST_COLUMNS = 2000;
/** The approximate length of a piece in characters. */
const PIECE = 64 * 1024;

/** Piece by piece; a table without named columns needs all items first. Rejects with FsError. */
export async function* streamCollection(
  pages: Pages,
  format: Format,
  columns: readonly string[] | undefined,
  maxBytes: number,
): AsyncGenerator<string> {
  if (format === "json" || format === "ndjson") yield* streamValues(pages, format);
  else if (columns !== undefined) yield* streamTable(streamItems(pages), format, columns);
  else {
    const all: string[] = [];
    const names = new Set<string>();
    let length = 0;
    for await (const item of streamItems(pages)) {
      all.push(item);
      length += item.length;
      for (const name of Object.keys(membersOf(item))) names.add(name);
      const cure = 'select columns with the option "columns"';
      if (names.size > MOST_COLUMNS)
        throw new FsError("EFBIG", `the items have more than ${MOST_COLUMNS} members; ${cure}`);
      if (length > maxBytes) throw new FsError("EFBIG", `the items have more than ${maxBytes} bytes; ${cure}`);
    }
    yield* streamTable(all, format, [...names]);
  }
}

/** One after the other, letting other work on this thread run in between. */
export async function* streamItems(pages: Pages): AsyncGenerator<string> {
  const pace = new Pace();
  for await (const page of pages) {
    for (const item of page.items) {
      yield item;
      if (pace.due) await pace.pause();
    }
  }
}

async function* streamValues(pages: Pages, format: "json" | "ndjson"): AsyncGenerator<string> {
  const [head, between, before, end] = format === "json" ? ["[", ",", "\n  ", "\n]\n"] : ["", "", "", ""];
  let count = 0;
  let text = head;
  for await (const item of streamItems(pages)) {
    text += `${count++ === 0 ? "" : between}${before}${item}${format === "json" ? "" : "\n"}`;
    if (text.length < PIECE) continue;
    yield text;
    text = "";
  }
  yield text + (count === 0 && format === "json" ? "]\n" : end);
}

async function* streamTable(
  all: AsyncIterable<string> | Iterable<string>,
  format: Exclude<Format, "json" | "ndjson">,
  columns: readonly string[],
): AsyncGenerator<string> {
  const { head, row } = createFormatter(format, false);
  // Without items there are no members, so there is not even a header.
  if (columns.length === 0) return;
  let text = head(columns);
  for await (const item of all) {
    const members = membersOf(item);
    text += row(
      columns.map((name) => cellOf(Object.hasOwn(members, name) ? members[name] : null)),
      columns,
      false,
    );
    if (text.length < PIECE) continue;
    yield text;
    text = "";
  }
  yield text;
}

/** The maximum length of an item that is parsed, because this thread serves everybody. */
const LONGEST_ITEM = 256 * 1024;

/** The value of an item. Throws FsError EFBIG. */
export function parseItem(text: string): unknown {
  if (text.length <= LONGEST_ITEM) return parseExactJson(text);
  throw new FsError("EFBIG", `an item has more than ${LONGEST_ITEM} characters; use .json or .ndjson for such items`);
}

function membersOf(text: string): Readonly<Record<string, unknown>> {
  const item = parseItem(text);
  if (isRecord(item) && !JSON.isRawJSON(item)) return item;
  throw new FsError(
    "EIO",
    `an item is ${kindOf(item)}, but a table needs objects; use .json or .ndjson for other items`,
  );
}

function cellOf(value: unknown): SqlValue {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return { json: JSON.stringify(value) };
}
