/**
 * The answers that this process got from a store, or gave to it: to notice that the store has lost them, and to bring them
 * back. The texts are kept as far as they fit into a fixed amount of memory, the newest ones first.
 */
import { LRUCache } from "lru-cache";
import type { Recording } from "../recording.ts";

export interface UsedAnswer {
  readonly key: string;
  readonly label: string;
  /** A hash of the answer's text. */
  readonly hash: bigint;
  /** Absent if it was too long to keep. */
  readonly recording?: Recording;
}

/** In characters. */
const KEPT = 32 << 20;

export class UsedAnswers {
  readonly #answers = new Map<string, UsedAnswer>();
  readonly #recordings = new LRUCache<string, Recording>({ maxSize: KEPT, sizeCalculation: sizeOf });

  note(recording: Recording): void {
    const { key, label } = recording;
    this.#answers.set(key, { key, label, hash: hashOf(recording) });
    this.#recordings.set(key, recording);
  }

  forget(key: string): void {
    this.#recordings.delete(key);
    this.#answers.delete(key);
  }

  all(): readonly UsedAnswer[] {
    return [...this.#answers.values()].map((answer) => {
      const recording = this.#recordings.peek(answer.key);
      return recording === undefined ? answer : { ...answer, recording };
    });
  }
}

export function hashOf({ answer }: Recording): bigint {
  return BigInt(Bun.hash(answer.text));
}

function sizeOf({ answer, request }: Recording): number {
  return request.messages.reduce((sum, { content }) => sum + content.length, 1 + answer.text.length);
}

/** "1 file is (/a)", "7 files are (/a, /b, /c and 4 more)". */
export function countFiles(labels: readonly string[]): string {
  const shown = labels.slice(0, 3).join(", ");
  const more = labels.length > 3 ? ` and ${labels.length - 3} more` : "";
  return labels.length === 1 ? `1 file (${shown}) is` : `${labels.length} files (${shown}${more}) are`;
}
