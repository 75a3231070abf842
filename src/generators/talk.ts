/**
 * Forwards the output of programs and helper processes to the log.
 *
 * A program with endless output (a loop that prints an error) must not fill the memory or the log, or keep this thread busy.
 * Excess output is read slowly, counted and dropped.
 */

/** The bytes accepted at once, and then per second. */
const BURST = 256 * 1024;
const PER_SECOND = 8 * 1024;
/** The size of a log line in addition to its text: time, process, file. */
const AROUND = 100;
/** Output is accepted again when this much of the burst is available. */
const RESUMES = BURST / 8;
/** The pause between reads of excess output. A pipe holds 64 KiB, so that is a few megabytes per second. */
const PAUSE_MS = 5;
/** Longer lines are cut. */
const LONGEST_LINE = 8192;
/** The length of dropped output that is searched for the last line. */
const TAIL = 4096;
/** How often dropped output is reported. */
const REPORT_MS = 2000;

/** Limits the output of one source. */
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

  /** Whether output is currently dropped. */
  get silenced(): boolean {
    const now = this.#now();
    this.#left = Math.min(BURST, this.#left + ((now - this.#at) * PER_SECOND) / 1000);
    this.#at = now;
    if (this.#left >= RESUMES) this.#silenced = false;
    return this.#silenced;
  }

  /** Whether a text is accepted. Otherwise it counts as dropped. */
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

  /** A line with the number of bytes dropped since the last report. Undefined if there are none. */
  report(): string | undefined {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped === 0 ? undefined : `(${dropped} bytes dropped here because they came too fast)`;
  }
}

/** Passes on accepted lines, and reports what was dropped before them. */
export function limitTalk(say: (line: string) => void, allowance = new Allowance()): (line: string) => void {
  return (line) => {
    if (!allowance.takes(line)) return;
    const dropped = allowance.report();
    if (dropped !== undefined) say(dropped);
    say(line);
  };
}

/** Passes on the accepted lines of a stream. Resolves with the last line that is not blank. */
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
      // Only the end matters, because it may have the reason of a failure.
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
