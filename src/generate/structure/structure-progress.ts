import type { ChatUsage } from "../../llm/llm.ts";
import type { Proposal } from "./proposal.ts";

export interface StructureProgress {
  /** The number of files so far, in all requests. An estimate while answers stream in. */
  readonly files: number;
  readonly characters: number;
  /** The last path received. */
  readonly latest?: string;
  /** The number of answered requests, and of those known to be needed. */
  readonly requests: { readonly done: number; readonly total: number };
  /** The problems of an answer that was sent back for correction. */
  readonly problems?: readonly string[];
}

/** How much text without a path to keep, because a path may begin in it. A path has at most 4095 bytes. */
const LONGEST_REST = 16_384;

/** Tracks the input of all requests, for progress and for the final summary. */
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

  /** Returns a listener for the text of one answer. It counts likely paths; the exact number comes with the proposal. */
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
      // Only a quote can end a path, so the kept text need not be searched for every delta.
      if (!delta.includes('"') && stream.rest.length <= LONGEST_REST) return;
      const found = [...stream.rest.matchAll(/"path"\s*:\s*"((?:[^"\\]|\\.)*)"/g)];
      const last = found.at(-1);
      if (last !== undefined) {
        stream.files += found.length;
        stream.rest = stream.rest.slice(last.index + last[0].length);
        this.#latest = last[1];
        this.#tell();
      }
      // Drop text that is too long to be a path, so that a stream without paths does not grow the buffer.
      if (stream.rest.length > LONGEST_REST) stream.rest = stream.rest.slice(-LONGEST_REST / 2);
    };
    this.#streams.set(listen, stream);
    return listen;
  }

  noteAnswer(model: string, usage: ChatUsage | undefined): void {
    this.model ??= model;
    this.requests += 1;
    this.usage = {
      inputTokens: this.usage.inputTokens + (usage?.inputTokens ?? 0),
      outputTokens: this.usage.outputTokens + (usage?.outputTokens ?? 0),
    };
  }

  noteProposal(listener: (delta: string) => void, proposal: Proposal): void {
    this.#streams.delete(listener);
    this.#files += proposal.entries.filter(({ type }) => type === "file").length;
    this.#done += 1;
    this.#tell();
  }

  noteRejection(listener: (delta: string) => void, problems: readonly string[]): void {
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
