/** Failures that a person can act on. */

/** What kind of failure it is; each has an exit status of its own (cli/output/exit-codes.ts). */
export type FailureKind =
  | "failure"
  | "usage"
  | "mountpoint"
  | "busy"
  | "fuse"
  | "notMounted"
  | "input"
  | "snapshot"
  | "model"
  | "answer"
  | "unrecorded"
  | "save"
  | "incomplete"
  | "recordings"
  | "unresponsive"
  | "notExecutable"
  | "notFound";

/** A failure a person can act on: one message, no stack, and the exit status that goes with it. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly exit: FailureKind;

  constructor(exit: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }
}

/** A command line that cannot be understood: shown with the usage line of the command it was meant for. */
export class UsageError extends UserError {
  constructor(message: string) {
    super("usage", message);
  }
}

/** A value that cannot be used. How the command is called is no help where a variable has it. */
export function createValueError(source: string, problem: string): UserError {
  return source.startsWith("--") ? new UsageError(problem) : new UserError("usage", problem);
}
