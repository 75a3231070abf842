/**
 * What programs and helper processes say beside their results: lines for the log.
 *
 * A program that says something without end (a loop that prints an error) must fill neither the memory nor the log, nor
 * keep this thread busy: what is too much is counted and dropped, and read slowly.
 */

/** So much may be said at once, and then so much a second. In bytes. */
const BURST = 256 * 1024;
const PER_SECOND = 8 * 1024;
/** What a line takes in the log beside its text: time, process, file. */
const AROUND = 100;
/** Somebody who said too much is listened to again when so much of the burst is there again. */
const RESUMES = BURST / 8;
/** A pipe holds 64 KiB: somebody who says too much is read at some megabytes a second. */
const PAUSE_MS = 5;
/** A longer line is cut. */
const LONGEST_LINE = 8192;
/** Where the last line is looked for of what is dropped. */
const TAIL = 4096;
/** How much was dropped is said at least this often. */
const REPORT_MS = 2000;

/** How much somebody may say. */
export class Allowance {
  readonly #now: () => number;
  #left = BURST;
  #at: number;
  #silenced = false;
  #dropped = 0;

  constructor(now = () => performance.now()) {
    this.#now = now;
    this.#at = now();
  }

  /** Nothing may be said for the time being. */
  get silenced(): boolean {
    const now = this.#now();
    this.#left = Math.min(BURST, this.#left + ((now - this.#at) * PER_SECOND) / 1000);
    this.#at = now;
    if (this.#left >= RESUMES) this.#silenced = false;
    return this.#silenced;
  }

  /** Whether a text may be said; if not, it counts as dropped. */
  takes(text: string): boolean {
    const size = text.length + AROUND;
    if (!this.silenced && size <= this.#left) {
      this.#left -= size;
      return true;
    }
    this.#silenced = true;
    this.drop(text.length);
    return false;
  }

  drop(bytes: number): void {
    this.#dropped += bytes;
  }

  /** A line that says how much was dropped since the last one; undefined if nothing was. */
  report(): string | undefined {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped === 0 ? undefined : `(${dropped} bytes that came too fast were dropped here)`;
  }
}

/** Says lines that are allowed, and how much was dropped before them. */
export function limitTalk(say: (line: string) => void, allowance = new Allowance()): (line: string) => void {
  return (line) => {
    if (!allowance.takes(line)) return;
    const dropped = allowance.report();
    if (dropped !== undefined) say(dropped);
    say(line);
  };
}

/** Lines to `say`, as many as are allowed. Resolves with the last one that is not blank. */
export async function readTalk(stream: ReadableStream<Uint8Array>, say: (line: string) => void): Promise<string> {
  const allowance = new Allowance();
  const speak = limitTalk(say, allowance);
  let decoder = new TextDecoder();
  let [last, rest] = ["", ""];
  const take = (line: string) => {
    if (line.trim() === "") return;
    last = shorten(line);
    speak(last);
  };
  const report = () => {
    const dropped = allowance.report();
    if (dropped !== undefined) say(dropped);
  };
  let reporting: Timer | undefined;
  const reportSoon = () => {
    reporting ??= setTimeout(() => {
      reporting = undefined;
      report();
    }, REPORT_MS);
    reporting.unref();
  };
  for await (const bytes of stream) {
    if (allowance.silenced) {
      allowance.drop(bytes.length);
      reportSoon();
      // Only the end of it matters: it may say why the program failed.
      decoder = new TextDecoder();
      rest = decoder.decode(bytes.subarray(-TAIL), { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      last = lines.findLast((line) => line.trim() !== "") ?? last;
      await Bun.sleep(PAUSE_MS);
      continue;
    }
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LONGEST_LINE) lines.push(rest);
    if (rest.length > LONGEST_LINE) rest = "";
    for (const line of lines) take(line);
    if (allowance.silenced) reportSoon();
  }
  take(rest);
  clearTimeout(reporting);
  report();
  return last;
}

function shorten(line: string): string {
  if (line.length <= LONGEST_LINE) return line;
  return `${line.slice(0, LONGEST_LINE)}… (${line.length - LONGEST_LINE} more characters)`;
}
