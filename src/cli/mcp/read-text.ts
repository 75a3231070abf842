/** The content of a file as the text of an answer. */
import { FsError } from "../../errno.ts";

/** The maximum number of characters in one answer: about 60,000 tokens. */
const MOST_CHARACTERS = 256 * 1024;

/** Throws FsError EILSEQ for bytes that are not UTF-8. */
export function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FsError("EILSEQ", `its ${bytes.length} bytes are not text in UTF-8`, { path });
  }
}

/** `offset`: the first line, from 1; `limit`: how many. A note at the end says which lines these are, unless they are all. */
export function cutLines(text: string, { offset, limit }: { readonly offset: number; readonly limit: number }): string {
  const lines = text.split("\n");
  // What follows the last newline is a line only if there is something.
  const count = lines.at(-1) === "" ? lines.length - 1 : lines.length;
  const wanted = lines.slice(offset - 1, offset - 1 + limit);
  const shown: string[] = [];
  let length = 0;
  for (const line of wanted) {
    length += line.length + 1;
    if (length > MOST_CHARACTERS && shown.length > 0) break;
    shown.push(line.slice(0, MOST_CHARACTERS));
  }
  if (offset === 1 && shown.length === lines.length && length <= MOST_CHARACTERS + 1) return text;
  const last = Math.min(offset - 1 + shown.length, count);
  if (offset > count) return `[the file has ${count} lines]`;
  return `${shown.join("\n").replace(/\n$/, "")}\n[lines ${offset} to ${last} of ${count}]`;
}
