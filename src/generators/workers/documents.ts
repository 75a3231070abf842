/** JSON documents, in the helper: parsing, searching and writing take time proportional to their size, or more. */

import { type PageQuestion, pageIn } from "../builtin/http/page.ts";
import { indentJson } from "../formats/indented.ts";
import type { Conversation } from "./child.ts";
import { PIECE_BYTES } from "./messages.ts";

/** Sends the value at `next`, then the items, each as JSON on one line. */
export async function tellPage(question: PageQuestion, { input, result, piece }: Conversation): Promise<void> {
  const { items, next } = await pageIn(new TextDecoder().decode(await input()), question);
  result(typeof next === "string" || typeof next === "number" ? next : undefined);
  let text = "";
  for (const item of items) {
    text += `${JSON.stringify(item)}\n`;
    if (text.length < PIECE_BYTES) continue;
    await piece(Buffer.from(text));
    text = "";
  }
  await piece(Buffer.from(text));
}

export async function tellIndented({ input, result, piece }: Conversation): Promise<void> {
  result(undefined);
  for (const text of indentJson(new TextDecoder().decode(await input()))) await piece(Buffer.from(text));
}
