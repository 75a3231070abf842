import type { Options } from "./config/options.ts";
import type { Pattern } from "./config/patterns.ts";
import type { ContentGenerator } from "./contract.ts";
import type { ProcessGroups } from "./workers/process-groups.ts";

/** A built-in generator that gets content from somewhere else than a model. */
export interface SourceGenerator extends ContentGenerator {
  /** Whether it lists directories when it has these options. */
  lists?(options: Options): boolean;
  /** Called as `validate` is, with the rule's pattern: throws Error for files that it cannot make. */
  suits?(match: Pattern, options: Options): void;
}

/** Tells programs, and the user's own code, where the tree is mounted. */
export const MOUNT_VARIABLE = "LLMFS_MOUNT";

/** What such generators are made of. */
export interface SourceParts {
  /** The directory of the configuration file: relative paths in options begin there. */
  readonly base: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the tree is mounted; absent: nowhere. */
  readonly mountpoint?: string;
  /** Of everything that is started. */
  readonly groups: ProcessGroups;
  /** What helper processes print. */
  readonly print: (line: string) => void;
  /** How long a helper process may have nothing to do before it is ended. */
  readonly idleMs?: number;
}
