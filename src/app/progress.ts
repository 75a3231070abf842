/** The interface for reporting progress. cli/output/progress.ts implements it for terminals. */

/** Prints one line. */
export type Say = (line: string) => void;

/** Colors the beginning of a line. The color is a parameter of SGR in ECMA-48. */
export interface ColoredStart {
  readonly length: number;
  readonly color: number;
}

export interface Progress {
  /** Whether lines are redrawn, as on a terminal. Otherwise every step and every line stays. */
  readonly redraws: boolean;
  /** Begins a step such as "laying out the tree". */
  step(text: string): void;
  /** Adds details to the current step. Shown only if lines are redrawn. */
  detail(text: string): void;
  /** Replaces step and detail if both would not fit. Shown only if lines are redrawn. */
  line(text: string): void;
  /** Prints a permanent line above the current step. */
  print(line: string, mark?: ColoredStart): void;
  /** Ends the current step and removes its line from a terminal. */
  clear(): void;
}

/** For those whom nobody watches. */
export const NO_PROGRESS: Progress = {
  redraws: false,
  step() {},
  detail() {},
  line() {},
  print() {},
  clear() {},
};

/**
 * Returns a function that tells whether to print a progress line: after every tenth of the work except the last, and only
 * if lines are not redrawn.
 */
export function createTenthCheck({ redraws }: Pick<Progress, "redraws">): (done: number, total: number) => boolean {
  let reported = 0;
  return (done, total) => {
    const now = Math.floor((done * 10) / total);
    const due = now > reported && now < 10 && !redraws;
    reported = Math.max(reported, now);
    return due;
  };
}
