/** Shows progress on standard error: one redrawn line on a terminal, otherwise a line for each step. */
import type { ColoredStart, Progress } from "../../app/progress.ts";
import { canRedraw } from "../../app/settings/settings.ts";
import { isTerminal, overwrite, say } from "./terminal.ts";

const FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";

function isRedrawn(): boolean {
  return canRedraw(isTerminal());
}

export function createProgress(redrawn: boolean = isRedrawn()): Progress {
  return redrawn
    ? new Redrawn()
    : {
        redraws: false,
        step: (text) => say(`${text} …`),
        detail: () => {},
        line: () => {},
        print: say,
        clear: () => {},
      };
}

class Redrawn implements Progress {
  readonly redraws = true;
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

  print(line: string, mark?: ColoredStart): void {
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
