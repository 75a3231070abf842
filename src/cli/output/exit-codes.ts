/**
 * Every exit status of llmfs, named and explained. They are a promise: docs/cli.md lists the same table, and a test
 * compares the two.
 *
 * Those of llmfs's own failures lie from 80 up, where few programs have theirs, because `run` returns the status of
 * the command it ran.
 */
import type { FailureKind } from "../../app/errors.ts";

interface Exit {
  readonly code: number;
  readonly meaning: string;
}

export const EXIT = {
  ok: { code: 0, meaning: "done; of `run`: the command's own status" },
  failure: { code: 1, meaning: "a failure that has no status of its own, a bug among them" },
  usage: {
    code: 2,
    meaning:
      "the command line is wrong: unknown flag, surplus argument, missing or bad value; or a variable has a bad value",
  },
  mountpoint: { code: 80, meaning: "the mountpoint is missing, not a directory, not empty, or may not be used" },
  busy: { code: 81, meaning: "something is mounted there already, or programs still use the mount" },
  fuse: {
    code: 82,
    meaning:
      "FUSE cannot be used: no /dev/fuse, not permitted, no fusermount3, no executable memory, or the mount failed",
  },
  notMounted: { code: 83, meaning: "there is no llmfs mount at that place" },
  input: { code: 84, meaning: "a prompt or other input file is missing, unreadable, empty or not text" },
  snapshot: { code: 85, meaning: "the snapshot is missing, unreadable, broken or unsafe" },
  model: {
    code: 86,
    meaning: "the model cannot be asked: none configured, key refused, no connection, timeout, quota",
  },
  answer: { code: 87, meaning: "the model answered, and the answer cannot be used" },
  unrecorded: { code: 88, meaning: "replaying, and there is no recording of this request" },
  save: { code: 89, meaning: "the tree could not be saved; what was there before is untouched" },
  incomplete: { code: 90, meaning: "some files could not be generated; the reasons are listed" },
  recordings: { code: 91, meaning: "recordings are broken, or cannot be used" },
  unresponsive: {
    code: 92,
    meaning:
      "the mount does not answer: the process that serves it is stopped, busy or has ended; the error says which",
  },
  notExecutable: { code: 126, meaning: "`run`: the command was found and could not be executed" },
  notFound: { code: 127, meaning: "`run`: the command was not found" },
  signal: { code: 128, meaning: "128 + n: ended by signal n; of `run`: the command was" },
} as const satisfies Record<FailureKind, Exit> & Record<string, Exit>;

/** How llmfs ends because of an error: the status, and what a person is told. */
export interface Explanation {
  readonly status: number;
  /** Absent: there is nothing to say. */
  readonly message?: string;
}
