/** What a person is told while something is under way. The terminal's side of it is cli/output/progress.ts. */

/** Says one line. */
export type Say = (line: string) => void;

/** The beginning of a line, in a colour: a parameter of ECMA-48's SGR. */
export interface TenthMark {
  readonly length: number;
  readonly color: number;
}

export interface Progress {
  /** A line is drawn over, as on a terminal; else every step and every line stays. */
  readonly redraws: boolean;
  /** Begins a step: "laying out the tree". */
  step(text: string): void;
  /** Says more of the current step; shown only where lines are redrawn. */
  detail(text: string): void;
  /** Takes the place of step and detail, where both would not fit; shown only where lines are redrawn. */
  line(text: string): void;
  /** A line that stays, above the current step. */
  print(line: string, mark?: TenthMark): void;
  /** Ends the current step; its line disappears from a terminal. */
  clear(): void;
}

/**
 * Tells whether a line is due: at every tenth that is done, except the last, and only where nothing is redrawn. So ten
 * lines show how far the work has come.
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
