/** What the filesystem thread lets the main thread do, on a request through `.llmfs/control`. */
import { codeOf, FsError, isErrnoName, messageOf } from "../errno.ts";
import type { MountCommand, ToFilesystem } from "../rpc/messages.ts";

/**
 * Runs a command. Resolves with the members of the answer, as JSON values. The signal is aborted when nothing waits for
 * the answer any more; work that must not be left half done may ignore it.
 */
export type RunCommand = (command: MountCommand, signal: AbortSignal) => Promise<Readonly<Record<string, unknown>>>;

export class Commands {
  readonly #run: RunCommand | undefined;
  readonly #post: (message: ToFilesystem) => void;
  readonly #byNumber = new Map<number, AbortController>();

  constructor(run: RunCommand | undefined, post: (message: ToFilesystem) => void) {
    this.#run = run;
    this.#post = post;
  }

  async begin(id: number, command: MountCommand): Promise<void> {
    const stop = new AbortController();
    this.#byNumber.set(id, stop);
    try {
      if (this.#run === undefined) throw new FsError("EOPNOTSUPP", `"${command.op}" is not possible here`);
      this.#post({ type: "completed", id, result: await this.#run(command, stop.signal) });
    } catch (error) {
      const { code, message, cause } = toFsError(error);
      const kind = kindOf(cause) ?? kindOf(error);
      this.#post({ type: "completed", id, failure: { code, message, ...(kind !== undefined && { kind }) } });
    } finally {
      this.#byNumber.delete(id);
    }
  }

  stop(id: number): void {
    this.#byNumber.get(id)?.abort();
  }

  stopAll(): void {
    for (const stop of this.#byNumber.values()) stop.abort();
  }
}

/** What sort of failure of a model it is: see LlmErrorKind. Undefined for other failures. */
function kindOf(error: unknown): string | undefined {
  return error instanceof Error && "kind" in error && typeof error.kind === "string" ? error.kind : undefined;
}

/** Any failure, as the errno and reason for callers. */
export function toFsError(error: unknown): FsError {
  if (error instanceof FsError) return error;
  const code = codeOf(error) ?? "";
  return new FsError(isErrnoName(code) ? code : "EIO", messageOf(error), { cause: error });
}
