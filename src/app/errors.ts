/** Failures that the user can act on. */

/** The kind of a failure. Each kind has its own exit status (cli/output/exit-codes.ts). */
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

/** A failure that the user can act on. It is shown as one message without a stack trace. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly exit: FailureKind;

  constructor(exit: FailureKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }
}

/** An invalid command line. It is shown with the usage line of the command. */
export class UsageError extends UserError {
  constructor(message: string) {
    super("usage", message);
  }
}

/** An invalid value. For a variable or a file, the usage line of the command would not help. */
export function createValueError(source: string, problem: string): UserError {
  if (source.startsWith("--")) return new UsageError(problem);
  return new UserError(/^[A-Z_]+$/.test(source) ? "usage" : "input", problem);
}
