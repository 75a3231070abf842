/**
 * The audit: every event of a mount, appended to a file outside it, one line of JSON for each.
 *
 * The file is opened again if it was renamed or removed, as log rotation does. What cannot be written is kept, up to a
 * limit, and written later.
 */
import { accessSync, appendFileSync, closeSync, constants, existsSync, fstatSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { FsError, reasonOf } from "../../errno.ts";
import { findMountOnPath } from "../../inside-mount.ts";
import type { Generate, List, Recall } from "../../rpc/generation.ts";
import type { MountEvent } from "../../rpc/programs.ts";
import { UserError } from "../errors.ts";

/** The maximum number of lines that wait to be written. */
const MOST_WAITING = 10_000;

export interface AuditOptions {
  /** An absolute path. */
  readonly file: string;
  /** Whether nothing may be generated while the file cannot be written. */
  readonly required: boolean;
  readonly warn: (text: string) => void;
}

/**
 * Throws UserError if the file is in an llmfs mount, or, if it is required, cannot be written. Changes nothing. `source`: what
 * names the file.
 */
export function requireAuditable(source: string, file: string, required: boolean): void {
  const mount = findMountOnPath(file);
  if (mount !== undefined)
    throw new UserError("input", `${source} ${file} is inside an llmfs mount; choose a path outside`);
  if (!required) return;
  try {
    accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
  } catch (error) {
    throw new UserError("input", `${source} ${file} cannot be written: ${reasonOf(error, file)}`, { cause: error });
  }
}

export class Audit {
  readonly #options: AuditOptions;
  #fd: number | undefined;
  #waiting: string[] = [];
  #lost = 0;
  #problem: string | undefined;

  /** Throws UserError if the file is in an llmfs mount, or, if it is required, cannot be written. */
  constructor(options: AuditOptions) {
    this.#options = options;
    const { file, required } = options;
    requireAuditable("--audit", file, false);
    this.#flush();
    if (required && this.#problem !== undefined) throw new UserError("input", this.#problem);
  }

  write(event: MountEvent): void {
    this.#waiting.push(`${JSON.stringify(event)}\n`);
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.shift();
      this.#lost++;
    }
    this.#flush();
  }

  /** Rejects with EIO if the audit is required and cannot be written. */
  guard<T extends Generate | List>(generate: T): T {
    if (!this.#options.required) return generate;
    const generateIfAudited = async (...args: Parameters<Generate & List>) => {
      this.#flush();
      if (this.#problem !== undefined)
        throw new FsError("EIO", `${this.#problem}; --audit-required generates nothing without it`);
      return (generate as (...all: typeof args) => ReturnType<T>)(...args);
    };
    // It takes and returns the same.
    return generateIfAudited as unknown as T;
  }

  /** The same for what need not be generated. If the audit cannot be written, `generate` reports it. */
  guardRecall(recall: Recall): Recall {
    if (!this.#options.required) return recall;
    return (request) => {
      this.#flush();
      return this.#problem === undefined ? recall(request) : undefined;
    };
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #flush(): void {
    const { file, warn } = this.#options;
    try {
      const fd = this.#open(file);
      if (this.#lost > 0) this.#waiting.unshift(`${JSON.stringify({ event: "dropped", count: this.#lost })}\n`);
      this.#lost = 0;
      if (this.#waiting.length > 0) appendFileSync(fd, this.#waiting.join(""));
      this.#waiting = [];
      this.#problem = undefined;
    } catch (error) {
      const first = this.#problem === undefined;
      this.#problem = `the audit file ${file} cannot be written: ${reasonOf(error, file)}`;
      if (first) warn(this.#problem);
    }
  }

  /** The file that has this name now. */
  #open(file: string): number {
    if (this.#fd !== undefined) {
      const own = fstatSync(this.#fd);
      const there = statSync(file, { throwIfNoEntry: false });
      if (there?.ino === own.ino && there.dev === own.dev) return this.#fd;
      this.close();
    }
    this.#fd = openSync(file, "a", 0o600);
    return this.#fd;
  }
}
