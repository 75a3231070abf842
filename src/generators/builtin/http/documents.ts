/**
 * Takes JSON responses apart. Large documents, and searches that may take long, go to a helper process: parsing alone
 * takes half a second for a megabyte, and this thread serves everybody.
 */
import { FsError } from "../../../errno.ts";
import { indentJson } from "../../formats/indented.ts";
import { toFsError } from "../../workers/failed.ts";
import { HelperPool } from "../../workers/pool.ts";
import type { HelperOptions } from "../../workers/worker-process.ts";
import { isStraight, type PageQuestion, pageIn } from "./page.ts";

/** In bytes. */
const SMALL = 64 * 1024;
/** A parsed document takes many times its length in memory. */
const PARSED = 64;

export interface Page {
  /** Each as JSON, on one line. */
  readonly items: readonly string[];
  readonly next: unknown;
}

export class Documents implements AsyncDisposable {
  readonly #helpers: HelperPool;

  constructor(options: HelperOptions) {
    this.#helpers = new HelperPool(options);
  }

  /** Rejects with FsError, or the signal's reason. */
  async readPage(bytes: Uint8Array, question: PageQuestion, signal: AbortSignal): Promise<Page> {
    if (bytes.length <= SMALL && isStraight(question.items) && isStraight(question.next)) {
      const { items, next } = await pageIn(new TextDecoder().decode(bytes), question);
      return { items: items.map((item) => JSON.stringify(item)), next };
    }
    try {
      const { value, pieces } = await this.#call({ task: "page", question }, bytes, signal);
      const items: string[] = [];
      const decoder = new TextDecoder();
      let rest = "";
      for await (const piece of pieces) {
        const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) items.push(line);
      }
      return { items, next: value };
    } catch (error) {
      throw signal.aborted ? signal.reason : toFsError(error);
    }
  }

  /** Keeps every number and text as it was written. Rejects with FsError, or the signal's reason. */
  async *indent(bytes: Uint8Array, signal: AbortSignal): AsyncGenerator<string | Uint8Array> {
    try {
      if (bytes.length <= SMALL) yield* indentJson(new TextDecoder().decode(bytes));
      else yield* (await this.#call({ task: "indent" }, bytes, signal)).pieces;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!(error instanceof Error) || error.name !== "SyntaxError") throw toFsError(error);
      throw new FsError("EIO", "the response is not JSON", { cause: error });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#helpers[Symbol.asyncDispose]();
  }

  #call(task: Parameters<HelperPool["call"]>[0], input: Uint8Array, signal: AbortSignal) {
    return this.#helpers.call(task, signal, { memory: input.length * PARSED, input });
  }
}
