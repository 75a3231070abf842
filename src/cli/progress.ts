/** What is going on, on standard error: one line that is redrawn on a terminal, a line a step anywhere else. */
import { canRedraw } from "./config.ts";
import { isTerminal, type Mark, overwrite, say } from "./terminal.ts";

export interface Progress {
  /** Begins a step: "laying out the tree". */
  step(text: string): void;
  /** Says more of the step in hand; seen on a terminal only. */
  detail(text: string): void;
  /** Stands in for step and detail, where both would not fit; seen on a terminal only. */
  line(text: string): void;
  /** A line that stays, above the step in hand. */
  print(line: string, mark?: Mark): void;
  /** Ends the step in hand; its line is gone from a terminal. */
  clear(): void;
}

/**
 * Whether a line is due: every tenth that is done, short of the last, and only where nothing is redrawn, for ten lines
 * say as much there.
 */
export function tenths(): (done: number, total: number) => boolean {
  let told = 0;
  return (done, total) => {
    const now = Math.floor((done * 10) / total);
    const due = now > told && now < 10 && !isRedrawn();
    told = Math.max(told, now);
    return due;
  };
}

const FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";

function isRedrawn(): boolean {
  return canRedraw(isTerminal());
}

export function createProgress(redrawn: boolean = isRedrawn()): Progress {
  return redrawn
    ? new Redrawn()
    : { step: (text) => say(`${text} …`), detail: () => {}, line: () => {}, print: say, clear: () => {} };
}

class Redrawn implements Progress {
  #step = "";
  #detail = "";
  #line = "";
  #begun = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  step(text: string): void {
    this.#step = text;
    this.#detail = "";
    this.#line = "";
    this.#begun = performance.now();
    this.#timer ??= setInterval(() => this.#draw(), 100).unref();
    this.#draw();
  }

  detail(text: string): void {
    this.#detail = text;
  }

  line(text: string): void {
    this.#line = text;
  }

  print(line: string, mark?: Mark): void {
    if (this.#timer === undefined) return say(line, mark);
    overwrite("");
    say(line, mark);
    this.#draw();
  }

  clear(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    overwrite("");
  }

  #draw(): void {
    const seconds = (performance.now() - this.#begun) / 1000;
    const frame = FRAMES[Math.floor(seconds * 10) % FRAMES.length] ?? "";
    if (this.#line !== "") return overwrite(`${frame} ${this.#line}`);
    const detail = this.#detail === "" ? "" : ` · ${this.#detail}`;
    overwrite(`${frame} ${this.#step}${detail} · ${seconds.toFixed(0)} s`);
  }
}
