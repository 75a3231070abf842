/**
 * A record in which the process behind a mount publishes its state, and a pipe through which it accepts save requests.
 *
 * The record is a memfd, and other processes open it and the pipe through /proc/PID/fd. Therefore neither needs the mount to
 * answer, a folder or the environment. The kernel grants access to the same user and to root. An open record still has the
 * final state after the process has ended.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync, writeFileSync } from "node:fs";
import { memfd, nanosecondsSinceBoot, pipe, pwrite, SystemError, setNonBlocking } from "../../libc.ts";

/** The link in /proc/PID/fd by which the record is found. */
export const RECORD_LINK = "/memfd:llmfs-mount (deleted)";
const RECORD_NAME = "llmfs-mount";

/** The version of the record. A process with another version cannot be asked. */
const FORMAT = 1;
/** Enough for the longest paths and all remembered requests. */
const RECORD_BYTES = 256 << 10;
const REMEMBERED = 8;

/** The outcome of a save. */
export type SaveOutcome =
  /** The mount has no --save. */
  | { readonly kind: "none" }
  | { readonly kind: "saved"; readonly file: string }
  /** `wanted` could not be written; the tree is in `file`. */
  | { readonly kind: "rescued"; readonly file: string; readonly wanted: string; readonly reason: string }
  /** The tree is not saved anywhere. */
  | { readonly kind: "failed"; readonly wanted: string; readonly reason: string };

export interface MountRecord {
  readonly format: typeof FORMAT;
  readonly mountpoint: string;
  /** "major:minor" as in /proc/self/mountinfo. Empty without a mount, because the kernel reuses the number. */
  readonly device: string;
  /** When that was mounted, in nanoseconds since the start of the machine. */
  readonly mountedAt?: number;
  /** The file to which the tree is saved when the mount ends. */
  readonly save?: string;
  /** The beginning of the prompt that describes the tree. */
  readonly prompt?: string;
  /** The snapshot that it started from. */
  readonly from?: string;
  /** The descriptor that accepts requests. */
  readonly requests: number;
  /** "ended": the kernel has ended the mount; "done": there is nothing left to save. */
  readonly state: "mounting" | "serving" | "ended" | "done";
  /** The running save. */
  readonly saving?: { readonly file: string; readonly bytes: number };
  /** The mount is gone, the tree could not be saved, and this process retries. */
  readonly insisting?: true;
  /** Requests, oldest first, with their outcomes so far. */
  readonly answers: readonly { readonly id: string; readonly outcome?: SaveOutcome }[];
  /** The outcome of the last save. */
  readonly last?: SaveOutcome;
  /** The problems with the recordings that were found at the end. */
  readonly unsettled?: string;
}

export type RecordChange = Partial<
  Pick<MountRecord, "device" | "state" | "saving" | "insisting" | "last" | "prompt" | "unsettled">
>;

/** Writes the record of a mount that this process serves. */
export class RecordWriter {
  readonly #file = memfd(RECORD_NAME);
  readonly #pipe = pipe();
  #record: MountRecord;
  #version = 0;

  /** `save` is called for each request. */
  constructor(mount: Pick<MountRecord, "mountpoint" | "save" | "from">, save: () => Promise<SaveOutcome>) {
    const [out, into] = this.#pipe;
    setNonBlocking(out);
    this.#record = { ...mount, format: FORMAT, device: "", requests: into, state: "mounting", answers: [] };
    const result = this.#write();
    if (result < 0) throw new SystemError("pwrite", -result, "the record of the mount");
    this.#listen(out, save).catch(() => {});
  }

  /** An undefined value removes the member. */
  change(change: { readonly [K in keyof RecordChange]: RecordChange[K] | undefined }): void {
    const mountedAt = change.device ? { mountedAt: nanosecondsSinceBoot() } : {};
    // JSON omits undefined members, so the record has this type again when it is read.
    this.#record = { ...this.#record, ...mountedAt, ...change } as MountRecord;
    this.#write();
  }

  async #listen(out: number, save: () => Promise<SaveOutcome>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of Bun.file(out).stream()) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const id = /^save (\w{1,64})$/.exec(line)?.[1];
        if (id !== undefined) this.#answer(id, save);
      }
    }
  }

  async #answer(id: string, save: () => Promise<SaveOutcome>): Promise<void> {
    this.#change(id);
    this.#change(id, await save());
  }

  #change(id: string, outcome?: SaveOutcome): void {
    const others = this.#record.answers.filter((one) => one.id !== id).slice(1 - REMEMBERED);
    this.#record = { ...this.#record, answers: [...others, outcome === undefined ? { id } : { id, outcome }] };
    this.#write();
  }

  /**
   * Writes one line that begins and ends with a version number, by which readers detect parts of two records. If there is no
   * memory to write it, the old record stays, and readers get no report.
   */
  #write(): number {
    const version = ++this.#version;
    const line = Buffer.from(`${version} ${JSON.stringify(this.#record)} ${version}\n`);
    return pwrite(this.#file, line, line.length, 0);
  }
}

/** Reads the record of another process. Must be disposed. */
export class RecordReader implements Disposable {
  readonly #pid: number;
  readonly #file: number;

  /** `file` is a path in /proc/PID/fd. Throws if this process may not open it. */
  constructor(pid: number, file: string) {
    this.#pid = pid;
    this.#file = openSync(file, "r");
  }

  /** Undefined for a record of another version of llmfs. */
  read(): MountRecord | undefined {
    const buffer = Buffer.alloc(RECORD_BYTES);
    // A write takes a microsecond. Give up if the writer was killed while writing.
    for (let tries = 0; tries < 100; tries++) {
      const text = buffer.toString("utf8", 0, readSync(this.#file, buffer, 0, buffer.length, 0));
      const [, version, json, again] = /^(\d+) (.*) (\d+)\n/.exec(text) ?? [];
      if (json !== undefined && version === again) return parse(json);
    }
    return undefined;
  }

  /** Requests a save. Returns false if the process does not accept requests, or its pipe is full. */
  request(id: string): boolean {
    const record = this.read();
    if (record === undefined) return false;
    try {
      // Root reads records of every user, and one that a user has forged must not name a file that this user may not write to.
      const path = `/proc/${this.#pid}/fd/${record.requests}`;
      if (!this.#isOwnPipe(statSync(path))) return false;
      const into = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
      try {
        // The descriptor may have been replaced in the meantime.
        if (!this.#isOwnPipe(fstatSync(into))) return false;
        // Short enough (PIPE_BUF) for the kernel to write it atomically.
        writeFileSync(into, `save ${id}\n`);
        return true;
      } finally {
        closeSync(into);
      }
    } catch {
      return false;
    }
  }

  /** Whether it is a pipe of the user who made the record. */
  #isOwnPipe(stats: Stats): boolean {
    return stats.isFIFO() && stats.uid === fstatSync(this.#file).uid;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

function parse(json: string): MountRecord | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Another user may have forged it, to confuse commands of root. */
function isRecord(value: unknown): value is MountRecord {
  if (typeof value !== "object" || value === null) return false;
  const member = (name: keyof MountRecord): unknown => Reflect.get(value, name);
  return (
    member("format") === FORMAT &&
    (["mountpoint", "device", "state"] as const).every((name) => typeof member(name) === "string") &&
    (["save", "prompt", "from", "unsettled"] as const).every((name) => isOptional(member(name), "string")) &&
    isOptional(member("mountedAt"), "number") &&
    Number.isInteger(member("requests")) &&
    [member("saving") ?? {}, member("last") ?? {}].every((one) => typeof one === "object") &&
    isAnswers(member("answers"))
  );
}

function isOptional(value: unknown, type: "string" | "number"): boolean {
  return value === undefined || typeof value === type;
}

function isAnswers(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "object" && one !== null);
}

/** A message about a failed save and the location of the tree. Undefined if nothing failed. */
export function describeProblem(outcome: SaveOutcome): string | undefined {
  if (outcome.kind === "none" || outcome.kind === "saved") return undefined;
  const { wanted, reason } = outcome;
  const failed = `the tree could not be saved to ${wanted}: ${reason}`;
  return outcome.kind === "rescued" ? `${failed}; it is saved in ${outcome.file} instead` : failed;
}
