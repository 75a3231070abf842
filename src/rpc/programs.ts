/** How a mount treats the programs that use it, and what it reports of them. All of it is plain data. */
import type { ErrnoName } from "../errno.ts";

export interface ProgramSettings {
  /** The programs for which stat(2) generates a pending file: "PROGRAM" or "PROGRAM COMMAND". */
  readonly statGenerates: readonly string[];
  /** Who may have files generated. The first rule that applies counts; if none does, it is allowed. Default: no rule. */
  readonly policy?: readonly PolicyRule[];
  /** Whether all events are sent to the main thread, including those of files that have their content. Default: none. */
  readonly reports?: boolean;
}

/** A rule applies if everything that it names applies. */
export interface PolicyRule {
  readonly allows: boolean;
  /** Names of programs: the one that asks, or one that started it. A star stands for any characters. */
  readonly programs?: readonly string[];
  /** Names or numbers of users. */
  readonly users?: readonly string[];
  /** Patterns of paths, from the root of the mount. */
  readonly paths?: readonly string[];
  /** Where the rule comes from, for messages. */
  readonly origin: string;
}

/**
 * | event | what happened |
 * |---|---|
 * | `generate` | a program's request for a file or listing started a generation |
 * | `wait` | a program waits for a generation that runs already |
 * | `generated` | it succeeded |
 * | `failed` | it failed, or a request through `control` did |
 * | `cancelled` | nobody waited for it any more |
 * | `denied` | the policy does not let the program have it generated |
 * | `control` | a request through `control` |
 * | `saved` | the tree was saved |
 * | `open` | a program opened a file that has its content |
 * | `change` | a program changed a file or directory |
 */
export type EventName =
  | "generate"
  | "wait"
  | "generated"
  | "failed"
  | "cancelled"
  | "denied"
  | "control"
  | "saved"
  | "open"
  | "change";

/** What is noted of a save. With an errno, it failed; with a reason alone, the tree is in another file than was asked for. */
export type SaveEvent = Pick<
  MountEvent,
  "to" | "path" | "pid" | "program" | "uid" | "user" | "ms" | "errno" | "reason"
>;

/** A line of `.llmfs/events`. It never contains the content of a file, a prompt or a key. */
export interface MountEvent {
  /** Counts from 1. */
  readonly seq: number;
  /** In UTC, with milliseconds. */
  readonly at: string;
  readonly event: EventName;
  /** As text; see tree/path.ts for names that are not UTF-8. */
  readonly path?: string;
  /** The new path, of a file that was renamed or linked; or the file outside the mount to which the tree was saved. */
  readonly to?: string;
  /** The process, its program and its user, as far as /proc shows them. */
  readonly pid?: number;
  readonly program?: string;
  readonly uid?: number;
  readonly user?: string;
  /** The number of the generation, the same in all its events. */
  readonly generation?: number;
  /** The file whose generator asks for this one. */
  readonly for?: string;
  /** What was changed or requested: "create", "write", "regen", … */
  readonly op?: string;
  /** Of an `open`: "read", "write" or "read and write". */
  readonly access?: string;
  readonly generator?: string;
  readonly model?: string;
  readonly ms?: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly usd?: number;
  /** Whether the answer was recorded already, so that it cost nothing. */
  readonly recorded?: boolean;
  readonly errno?: ErrnoName;
  readonly reason?: string;
}
