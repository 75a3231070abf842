import type { ChatUsage } from "../../llm/llm.ts";
import type { Proposal } from "./proposal.ts";

export interface StructureProgress {
  /** Seen so far, in all requests. An estimate while answers stream in. */
  readonly files: number;
  readonly characters: number;
  /** The path that came last. */
  readonly latest?: string;
  /** Requests answered, and known to be needed. */
  readonly requests: { readonly done: number; readonly total: number };
  /** An answer was sent back to be corrected: what is wrong with it. */
  readonly problems?: readonly string[];
}

/** Of a text without a path, what may still begin one: names of a path have 4095 bytes. */
const LONGEST_REST = 16_384;

/** What has come in so far, over all requests: for progress, and for the sum at the end. */
export class StructureProgressTracker {
  readonly #onProgress: ((progress: StructureProgress) => void) | undefined;
  readonly #streams = new Map<(delta: string) => void, { files: number; rest: string }>();
  #files = 0;
  #characters = 0;
  #latest: string | undefined;
  #done = 0;
  #total = 0;
  model: string | undefined;
  requests = 0;
  usage: ChatUsage = { inputTokens: 0, outputTokens: 0 };

  constructor(onProgress: ((progress: StructureProgress) => void) | undefined) {
    this.#onProgress = onProgress;
  }

  expect(requests: number): void {
    this.#total += requests;
    this.#tell();
  }

  /** A listener for one answer's text. It counts what looks like a path; the exact number comes with the proposal. */
  begin(): (delta: string) => void {
    const stream = { files: 0, rest: "" };
    const listen = (delta: string) => {
      if (delta === "") {
        stream.files = 0;
        stream.rest = "";
        return;
      }
      this.#characters += delta.length;
      stream.rest += delta;
      // Only a quote can end a path: what is kept is not looked through for every word.
      if (!delta.includes('"') && stream.rest.length <= LONGEST_REST) return;
      const found = [...stream.rest.matchAll(/"path"\s*:\s*"((?:[^"\\]|\\.)*)"/g)];
      const last = found.at(-1);
      if (last !== undefined) {
        stream.files += found.length;
        stream.rest = stream.rest.slice(last.index + last[0].length);
        this.#latest = last[1];
        this.#tell();
      }
      // What cannot become a path any more is not kept: a stream without any must not grow this.
      if (stream.rest.length > LONGEST_REST) stream.rest = stream.rest.slice(-LONGEST_REST / 2);
    };
    this.#streams.set(listen, stream);
    return listen;
  }

  answered(model: string, usage: ChatUsage | undefined): void {
    this.model ??= model;
    this.requests += 1;
    this.usage = {
      inputTokens: this.usage.inputTokens + (usage?.inputTokens ?? 0),
      outputTokens: this.usage.outputTokens + (usage?.outputTokens ?? 0),
    };
  }

  settled(listener: (delta: string) => void, proposal: Proposal): void {
    this.#streams.delete(listener);
    this.#files += proposal.entries.filter(({ type }) => type === "file").length;
    this.#done += 1;
    this.#tell();
  }

  rejected(listener: (delta: string) => void, problems: readonly string[]): void {
    this.#streams.delete(listener);
    this.#tell(problems);
  }

  #tell(problems?: readonly string[]): void {
    let files = this.#files;
    for (const stream of this.#streams.values()) files += stream.files;
    this.#onProgress?.({
      files,
      characters: this.#characters,
      requests: { done: this.#done, total: this.#total },
      ...(this.#latest !== undefined && { latest: this.#latest }),
      ...(problems !== undefined && { problems }),
    });
  }
}
