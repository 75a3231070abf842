/**
 * The answers that this process got from a store, or gave to it: to notice that the store has lost them, and to bring them
 * back. The texts are kept as far as they fit into a fixed amount of memory, the newest ones first.
 */
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
  /** The keys of the answers that are kept as a whole, oldest first, with their sizes. */
  readonly #kept = new Map<string, number>();
  #size = 0;

  note(recording: Recording): void {
    const { key, label } = recording;
    this.#drop(key);
    this.#answers.set(key, { key, label, hash: hashOf(recording), recording });
    const size = sizeOf(recording);
    this.#kept.set(key, size);
    this.#size += size;
    for (const [oldest] of this.#kept) {
      if (this.#size <= KEPT) return;
      this.#drop(oldest);
    }
  }

  forget(key: string): void {
    this.#drop(key);
    this.#answers.delete(key);
  }

  all(): readonly UsedAnswer[] {
    return [...this.#answers.values()];
  }

  #drop(key: string): void {
    this.#size -= this.#kept.get(key) ?? 0;
    this.#kept.delete(key);
    const answer = this.#answers.get(key);
    if (answer !== undefined) this.#answers.set(key, { key, label: answer.label, hash: answer.hash });
  }
}

export function hashOf({ answer }: Recording): bigint {
  return BigInt(Bun.hash(answer.text));
}

function sizeOf({ answer, request }: Recording): number {
  return request.messages.reduce((sum, { content }) => sum + content.length, answer.text.length);
}

/** "1 file is (/a)", "7 files are (/a, /b, /c and 4 more)". */
export function countFiles(labels: readonly string[]): string {
  const shown = labels.slice(0, 3).join(", ");
  const more = labels.length > 3 ? ` and ${labels.length - 3} more` : "";
  return `${labels.length === 1 ? "1 file is" : `${labels.length} files are`} (${shown}${more})`;
}
