/**
 * The protocol of `.llmfs/control`: a program that has it open requests work on files, and reads the outcome of each
 * request.
 *
 * A request is a line of JSON, and so is its answer. Any number of requests may be in progress. Answers come in the
 * order in which the work is done, and contain the request's `id`.
 *
 *   {"id": 1, "op": "make", "path": "/a.md"}                         generates the file if it has no content
 *   {"id": 2, "op": "regen", "path": "/a.md", "prompt": "In verse."} generates new content, with another prompt
 *   {"id": 3, "op": "regen", "path": "/b.md", "force": true}         also if a user wrote the content
 *   {"id": 4, "op": "undo", "path": "/a.md"}                         restores the previous content
 *   {"id": 5, "op": "save"}                                          saves the tree at the destination of --save
 *   {"id": 6, "op": "stop"}                                          cancels everything in progress here
 *   {"id": 7, "op": "version"}                                       returns the current version of the contents
 *   {"id": 8, "op": "diagnose", "failure": {…}}                      asks the model which files made a check fail
 *   {"id": 8, "op": "update", "path": "/a.c"}   rewrites a generated file if a file that it was made from has changed
 *   {"id": 9, "op": "rewrite", "path": "/a.c", "instruction": "…"}   rewrites a generated file, starting from its content
 *   {"id": 10, "op": "freeze", "version": 81}                        records the contents of all generated files
 *   {"id": 11, "op": "add", "path": "/c.md", "description": "what it is"} adds a pending file and missing parent directories
 *   {"id": 12, "op": "grow", "path": "/", "prompt": "tests"}         has a model lay out more files and adds them
 *   {"id": 13, "op": "allow"}                                        permits as much spending again as --confirm-over
 *
 *   {"id": 1, "ok": true, "usage": {…}}
 *   {"id": 2, "errno": "EDQUOT", "message": "the budget …", "usage": {…}}
 *   {"id": 5, "ok": true, "saved": {"kind": "saved", "file": "/home/me/tree.json"}, "usage": {…}}
 *   {"id": 7, "ok": true, "version": 81, "usage": {…}}
 *   {"id": 8, "ok": true, "diagnosis": {…}, "usage": {…}}
 *   {"id": 10, "ok": true, "frozen": {"files": 12, "written": 3}, "usage": {…}}
 *
 * `id` is any JSON value; `usage` is what the mount has spent so far, as in usage.json. In `path` a byte that is not
 * part of valid UTF-8 is a lone surrogate, as in snapshots. write(2) accepts requests, and may accept fewer bytes than
 * it was given. On a read-only mount, where nothing can be opened for writing, ioctl(2) with SUBMIT accepts them.
 * read(2) waits while requests are in progress (with O_NONBLOCK it fails with EAGAIN) and returns 0 when there are
 * none. When the file is closed, requests in progress are cancelled after a moment (see fs/waiting/grace.ts).
 *
 * `add` may also have `prompt`, `generator` and `depends`, which become the attributes of these names.
 *
 * The file's mode decides who may send requests. Those that change the tree require it to be open for writing, and the caller
 * needs write permission on the named file, or on the directory. On a read-only mount they fail with EROFS.
 */

/** Every operation, and whether it changes the tree. */
const OPERATIONS = {
  make: "keeps",
  regen: "changes",
  rewrite: "changes",
  update: "changes",
  undo: "changes",
  add: "changes",
  grow: "changes",
  allow: "keeps",
  save: "keeps",
  version: "keeps",
  diagnose: "keeps",
  freeze: "changes",
  stop: "keeps",
} as const;

export type ControlOperation = keyof typeof OPERATIONS;

export const CONTROL_OPERATIONS: readonly string[] = Object.keys(OPERATIONS);

export function isControlOperation(op: unknown): op is ControlOperation {
  return typeof op === "string" && Object.hasOwn(OPERATIONS, op);
}

/** With `dry`, `grow` only lays out what it would add. */
export function changesTree({ op, dry }: { readonly op: ControlOperation; readonly dry?: unknown }): boolean {
  return OPERATIONS[op] === "changes" && !(op === "grow" && dry === true);
}

/** A check that failed, as the model gets to see it. Texts are cut by whoever sends them. */
export interface FailedCheck {
  /** The command, as a person would type it. */
  readonly command: string;
  /** How it ended: "exit status 2". */
  readonly ending: string;
  /** The end of what it printed. Paths are those in the mount. */
  readonly output: string;
  /** What was done after earlier runs that failed, oldest first, one line for each run. */
  readonly earlier: readonly string[];
}

/** What the model says about a check that failed. Everything in it is text from a model. */
export interface Diagnosis {
  /** The check itself is wrong, so no file is to be written again. */
  readonly checkIsWrong: boolean;
  /** Why it failed. */
  readonly why: string;
  /** The files to write again, in this order, each with its instruction. */
  readonly files: readonly { readonly path: string; readonly instruction: string }[];
  /** Files that the model named and that cannot be written again, with the reason. */
  readonly refused: readonly { readonly path: string; readonly reason: string }[];
}

/** What was recorded of a tree that passed its check. */
export interface Frozen {
  /** The number of files that a model generated. Each of them can now be generated from a recording. */
  readonly files: number;
  /** How many recordings were written for that. */
  readonly written: number;
}

/** _IOW('l', 1, char[n]): how many bytes follow stands in the fourteen bits that are 0 here. */
export const SUBMIT = 0x4000_6c01;
/** The maximum number of bytes for one command: asm-generic/ioctl.h. */
export const SUBMIT_BYTES = (1 << 14) - 1;
