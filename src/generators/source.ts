import type { Options } from "./config/options.ts";
import type { Pattern } from "./config/patterns.ts";
import type { ContentGenerator } from "./contract.ts";
import type { ProcessGroups } from "./workers/process-groups.ts";

/** A built-in generator that does not get its content from a model. */
export interface SourceGenerator extends ContentGenerator {
  /** Whether it lists directories with these options. */
  lists?(options: Options): boolean;
  /** Called like `validate`, with the pattern of the rule. Throws Error if it cannot generate such files. */
  suits?(match: Pattern, options: Options): void;
}

/** The variable that tells programs and the user's code where the tree is mounted. */
export const MOUNT_VARIABLE = "LLMFS_MOUNT";

/** The parts that these generators need. */
export interface SourceParts {
  /** The directory of the configuration file, which relative paths in options refer to. */
  readonly base: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The mountpoint, if the tree is mounted. */
  readonly mountpoint?: string;
  /** All processes that are started. */
  readonly groups: ProcessGroups;
  /** Called with each line that helper processes print. */
  readonly print: (line: string) => void;
  /** How long a helper process may be idle before it is ended. */
  readonly idleMs?: number;
}
