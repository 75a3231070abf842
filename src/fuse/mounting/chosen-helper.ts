/**
 * A program that takes the place of fusermount3, such as one that passes the request on to a privileged container of the same
 * pod. It is used even if this process could mount by itself.
 */

/** The variable that names it. */
export const HELPER_VARIABLE = "LLMFS_FUSERMOUNT";

export interface ChosenHelper {
  /** An absolute path, or a name in PATH. */
  readonly program: string;
  /** What it gets, because only it knows what it needs. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** For fusermount3 itself. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

let chosen: ChosenHelper | undefined;

/** For the rest of this process. */
export function chooseHelper(helper: ChosenHelper | undefined): void {
  chosen = helper;
}

/** Returns the program that was chosen; undefined if none was. */
export function findChosenHelper(): string | undefined {
  return chosen?.program;
}

/** The environment of the program that mounts, whichever it is. */
export function helperEnvironment(): Readonly<Record<string, string | undefined>> {
  return chosen?.environment ?? { PATH };
}
