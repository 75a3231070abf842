/**
 * What the process behind a mount tells of it to whoever may look into that process, and how it is asked for a save.
 *
 * The record is a file in the process's memory, and requests come through a pipe; both are reached by the descriptors in
 * /proc/PID/fd. So neither depends on the mount's answering, on a folder or on the environment; the kernel decides who
 * may (the same user, and root), and a record that was opened tells the last word of a process that has ended.
 */
import { closeSync, constants, openSync, readSync, writeFileSync } from "node:fs";
import { memfd, pipe, pwrite, SystemError, setNonBlocking } from "../../libc.ts";

/** The name of the record's file, as it is linked to in /proc/PID/fd. */
export const RECORD_LINK = "/memfd:llmfs-mount (deleted)";
const RECORD_NAME = "llmfs-mount";

/** Of what can be recorded. A process with another one cannot be asked. */
const FORMAT = 1;
/** More than the longest paths and all requests that are remembered take. */
const RECORD_BYTES = 256 << 10;
const REMEMBERED = 8;

/** What came of a save. */
export type SaveOutcome =
  /** Nobody asked for one, with --save. */
  | { readonly kind: "none" }
  | { readonly kind: "saved"; readonly file: string }
  /** `wanted` could not be written; the tree is in `file`. */
  | { readonly kind: "rescued"; readonly file: string; readonly wanted: string; readonly reason: string }
  /** It is nowhere. */
  | { readonly kind: "failed"; readonly wanted: string; readonly reason: string };

export interface MountRecord {
  readonly format: typeof FORMAT;
  readonly mountpoint: string;
  /** "major:minor", as in /proc/self/mountinfo; empty while there is no mount, as the kernel uses the number again. */
  readonly device: string;
  /** When that was mounted, by the clock of this machine that only goes forward, in nanoseconds. */
  readonly since?: number;
  /** Where the tree is saved when the mount ends. */
  readonly save?: string;
  /** The descriptor to which requests are written. */
  readonly requests: number;
  /** "mounting"; "serving"; "ended": the kernel has ended the mount; "done": nothing is left to be saved. */
  readonly state: "mounting" | "serving" | "ended" | "done";
  /** A save that is under way. */
  readonly saving?: { readonly file: string; readonly bytes: number };
  /** The mount is gone, the tree could not be saved, and this process keeps trying. */
  readonly insisting?: true;
  /** Requests, the oldest first, and what came of them so far. */
  readonly answers: readonly { readonly id: string; readonly outcome?: SaveOutcome }[];
  /** What came of the last save. */
  readonly last?: SaveOutcome;
}

export type RecordChange = Partial<Pick<MountRecord, "device" | "state" | "saving" | "insisting" | "last">>;

/** The record of a mount that this process serves. */
export class RecordWriter {
  readonly #file = memfd(RECORD_NAME);
  readonly #pipe = pipe();
  #record: MountRecord;
  #version = 0;

  /** `save` answers a request. */
  constructor(mount: Pick<MountRecord, "mountpoint" | "save">, save: () => Promise<SaveOutcome>) {
    const [out, into] = this.#pipe;
    setNonBlocking(out);
    this.#record = { ...mount, format: FORMAT, device: "", requests: into, state: "mounting", answers: [] };
    const result = this.#write();
    if (result < 0) throw new SystemError("pwrite", -result, "the record of the mount");
    this.#listen(out, save).catch(() => {});
  }

  /** An undefined `saving` or `last` takes it away. */
  change(change: { readonly [K in keyof RecordChange]: RecordChange[K] | undefined }): void {
    const since = change.device ? { since: Number(process.hrtime.bigint()) } : {};
    // JSON leaves out what is undefined.
    this.#record = { ...this.#record, ...since, ...change } as MountRecord;
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
   * A line whose beginning and end name its version: a reader that gets parts of two notices. What cannot be written, for
   * want of memory, leaves the record as it was, and whoever asks without a report.
   */
  #write(): number {
    const version = ++this.#version;
    const line = Buffer.from(`${version} ${JSON.stringify(this.#record)} ${version}\n`);
    return pwrite(this.#file, line, line.length, 0);
  }
}

/** The record of another process. Dispose it. */
export class RecordReader implements Disposable {
  readonly #pid: number;
  readonly #file: number;

  /** `file` is a path in /proc/PID/fd. Throws where this process may not open it. */
  constructor(pid: number, file: string) {
    this.#pid = pid;
    this.#file = openSync(file, "r");
  }

  /** Undefined where it is of another version of llmfs. */
  read(): MountRecord | undefined {
    const buffer = Buffer.alloc(RECORD_BYTES);
    // The writer needs a microsecond; one that was killed in the middle of it is given up.
    for (let tries = 0; tries < 100; tries++) {
      const text = buffer.toString("utf8", 0, readSync(this.#file, buffer, 0, buffer.length, 0));
      const [, version, json, again] = /^(\d+) (.*) (\d+)\n/.exec(text) ?? [];
      if (json !== undefined && version === again) return parse(json);
    }
    return undefined;
  }

  /** Asks for a save. False where the process takes no requests, or has more of them than it reads. */
  request(id: string): boolean {
    const record = this.read();
    if (record === undefined) return false;
    try {
      const into = openSync(`/proc/${this.#pid}/fd/${record.requests}`, constants.O_WRONLY | constants.O_NONBLOCK);
      try {
        // Short enough for the kernel to take it whole or not at all.
        writeFileSync(into, `save ${id}\n`);
        return true;
      } finally {
        closeSync(into);
      }
    } catch {
      return false;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** What it holds besides was written by this same version, in a process that the kernel let us look into. */
function parse(json: string): MountRecord | undefined {
  try {
    const value: unknown = JSON.parse(json);
    const ours = typeof value === "object" && value !== null && "format" in value && value.format === FORMAT;
    return ours ? (value as MountRecord) : undefined;
  } catch {
    return undefined;
  }
}
