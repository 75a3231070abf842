/**
 * Logs failures of generation. A budget that is used up refuses every file from then on, for the same reason: only the first of them is
 * a warning, and the others are counted. The log still names each file, at level "info".
 */
import { type FsError, reasonOf } from "../errno.ts";
import type { LogLevel } from "../rpc/messages.ts";

interface Refused {
  files: number;
  /** The number in the last warning. */
  reported: number;
}

export class FailureLog {
  readonly #write: (level: LogLevel, text: string) => void;
  readonly #refused = new Map<string, Refused>();

  constructor(log: (level: LogLevel, tag: string, text: string) => void) {
    this.#write = (level, text) => log(level, "generate", text);
  }

  /** `quiet`: somebody reports the failure to the user anyway. */
  add(path: string, error: FsError, quiet: boolean): void {
    const text = `${error.code}: ${reasonOf(error, path)}`;
    const refused = quiet || error.code !== "EDQUOT" ? undefined : this.#count(text);
    this.#write(quiet || (refused !== undefined && refused.files > 1) ? "info" : "warn", `${path}: ${text}`);
    if (refused !== undefined && refused.files > 1 && isPowerOfTen(refused.files)) this.#report(text, refused);
  }

  /** Reports how many files were refused since the last warning. */
  close(): void {
    for (const [text, refused] of this.#refused) {
      if (refused.files > refused.reported) this.#report(text, refused);
    }
    this.#refused.clear();
  }

  #count(text: string): Refused {
    const reason = withoutNext(text);
    const refused = this.#refused.get(reason) ?? { files: 0, reported: 1 };
    refused.files += 1;
    this.#refused.set(reason, refused);
    return refused;
  }

  #report(text: string, refused: Refused): void {
    refused.reported = refused.files;
    const [reason] = withoutNext(text).split(/[.;] /, 1);
    this.#write("warn", `${refused.files} requests were refused for the same reason: ${reason}`);
  }
}

/** Without what differs between files: how much the next call would need. */
function withoutNext(text: string): string {
  return text.replace(/, and the next call [^.]*?(?= in total\.|\. |$)/, "");
}

function isPowerOfTen(count: number): boolean {
  return /^10+$/.test(String(count));
}
