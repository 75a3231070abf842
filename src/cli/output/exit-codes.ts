/**
 * Every exit status of llmfs, named and explained. They do not change between versions: docs/cli.md lists the same
 * table, and a test compares the two.
 *
 * Those of llmfs's own failures begin at 80, because few programs use such numbers, and `run` returns the status of
 * the command it ran.
 */
import type { FailureKind } from "../../app/errors.ts";

interface Exit {
  readonly code: number;
  readonly meaning: string;
}

export const EXIT = {
  ok: { code: 0, meaning: "success; for `run`, the command succeeded" },
  failure: { code: 1, meaning: "unclassified failure (including bugs)" },
  usage: {
    code: 2,
    meaning:
      "wrong command line (unknown flag, extra argument, missing or invalid value), or a variable with an invalid value",
  },
  mountpoint: { code: 80, meaning: "the mountpoint is missing, not a directory, not empty, or not permitted" },
  busy: { code: 81, meaning: "something is already mounted there, or programs still use the mount" },
  fuse: {
    code: 82,
    meaning:
      "FUSE is not usable: no /dev/fuse, no permission, no fusermount3, no executable memory, or the mount failed",
  },
  notMounted: {
    code: 83,
    meaning: "there is no llmfs mount at that path, or during `run` its mount was removed before the command ended",
  },
  input: { code: 84, meaning: "a prompt or other input file is missing, unreadable, empty or not text" },
  snapshot: {
    code: 85,
    meaning: "the snapshot, or the directory to start from, is missing, unreadable, broken, unsafe or too large",
  },
  model: {
    code: 86,
    meaning: "no answer from the model: none configured, key rejected, no connection, timeout, or quota",
  },
  answer: { code: 87, meaning: "the model's answer is not usable" },
  unrecorded: { code: 88, meaning: "replay: there is no recording of this request" },
  save: { code: 89, meaning: "the tree could not be saved; the earlier file is unchanged" },
  incomplete: {
    code: 90,
    meaning: "some files could not be generated, or a part of a proposal was left out; the reasons are listed",
  },
  recordings: {
    code: 91,
    meaning: "recordings are damaged or not usable, could not be stored, or differ from those of another machine",
  },
  unresponsive: {
    code: 92,
    meaning: "the mount does not respond: its process is stopped, busy or has ended; the error says which",
  },
  notExecutable: { code: 126, meaning: "`run`: the command was found but could not be executed" },
  notFound: { code: 127, meaning: "`run`: the command was not found" },
  signal: { code: 128, meaning: "128 + n: llmfs, or the command of `run`, was ended by signal n" },
} as const satisfies Record<FailureKind, Exit> & Record<string, Exit>;

/** How llmfs ends because of an error: the status, and the message for people. */
export interface Explanation {
  readonly status: number;
  /** Absent: there is nothing to say. */
  readonly message?: string;
}
