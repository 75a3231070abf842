/** Compares two ways to wait for requests, which take turns. */

/** A stretch of requests: how long it took, and what it cost. */
export interface Measured {
  readonly ms: number;
  /** NaN if that is not known. */
  readonly cost: number;
}

/** How the other way did, relative to the present one. `ms`: the time of a stretch. */
export interface Outcome {
  readonly time: number;
  readonly cost: number;
  readonly ms: number;
}

/** The number of stretches in a turn. The first is not counted, because threads are still being moved. */
const TURN = 4;
/** The number of turns of each way, at least and at most. */
const FEWEST_TURNS = 2;
const MOST_TURNS = 6;
/** A way that takes twice as long as the present one usually does has lost at once; one that takes a third has won after a turn. */
export const HOPELESS = 2;
const OBVIOUS = 3;
/** A result that is further from 1 than this needs no more turns. */
const CLEAR = 1.3;
/** A stretch counts as at most three times the middle one, because a very slow one has other causes. */
const MOST_TIMES = 3;

export class Trial<Way = string> {
  readonly other: Way;
  readonly #present: Way;
  readonly #usualMs: number;
  readonly #costs: boolean;
  /** The stretches of the other and of the present way. */
  readonly #stretches: [Measured[], Measured[]] = [[], []];
  #over = 0;

  /** `usualMs`: what a stretch takes in the present way; 0 if that is not known. `costs`: whether costs matter. */
  constructor(other: Way, present: Way, usualMs: number, costs: boolean) {
    this.other = other;
    this.#present = present;
    this.#usualMs = usualMs;
    this.#costs = costs;
  }

  get #turn(): 0 | 1 {
    return Math.floor(this.#over / TURN) % 2 === 0 ? 0 : 1;
  }

  get way(): Way {
    return this.#turn === 0 ? this.other : this.#present;
  }

  /** Returns the outcome when the trial is over. */
  note(measured: Measured): Outcome | undefined {
    const turn = this.#turn;
    if (this.#over++ % TURN === 0) return undefined;
    this.#stretches[turn].push(measured);
    const others = this.#stretches[0].map((one) => one.ms);
    const ms = mean(others);
    const time = ms / this.#usualMs;
    if (this.#over < TURN && this.#usualMs > 0 && others.every((one) => one > this.#usualMs * HOPELESS)) {
      return { time, cost: Number.POSITIVE_INFINITY, ms };
    }
    if (this.#over === TURN && ms * OBVIOUS < this.#usualMs && !this.#costs) return { time, cost: time, ms };
    if (this.#over % (2 * TURN) !== 0) return undefined;
    const turns = this.#over / (2 * TURN);
    const outcome = this.#compare();
    const isClear = outcome.time > CLEAR || outcome.time < 1 / CLEAR;
    return turns === MOST_TURNS || (isClear && turns >= FEWEST_TURNS) || outcome.time > HOPELESS ? outcome : undefined;
  }

  #compare(): Outcome {
    const [other, present] = this.#stretches.map((list) => ({
      ms: typical(list.map((one) => one.ms)),
      cost: typical(list.flatMap((one) => (Number.isNaN(one.cost) ? [] : one.cost))),
    })) as [Measured, Measured]; // as many as #stretches
    return { time: other.ms / present.ms, cost: other.cost / present.cost, ms: other.ms };
  }
}

/** The number of stretches of probation, and how many it takes at least if the way is far from its promise. */
const PROBATION = 32;
const SHORT_PROBATION = 8;
/** How long a stretch may take, relative to what was promised: in the whole probation, and earlier. */
const BROKEN = 1.2;
const BADLY_BROKEN = 1.6;

/**
 * Checks a new way after its trial. A way is not always as good as its trial, because for a while the processors behave as
 * the way before had left them.
 */
export class Probation<Way> {
  readonly from: Way;
  readonly #promisedMs: number;
  readonly #stretches: number[] = [];

  /** `from`: the way before. `promisedMs`: how long a stretch should take. */
  constructor(from: Way, promisedMs: number) {
    this.from = from;
    this.#promisedMs = promisedMs;
  }

  /** Undefined until it is over. Then 0 if the way is kept; otherwise its time relative to the promise. */
  note(ms: number): number | undefined {
    const length = this.#stretches.push(ms);
    if (length < SHORT_PROBATION) return undefined;
    const late = typical(this.#stretches) / this.#promisedMs;
    if (late > (length < PROBATION ? BADLY_BROKEN : BROKEN)) return late;
    return length < PROBATION ? undefined : 0;
  }
}

/** The mean, with less weight for the few that are much greater than the others. NaN if there are none. */
function typical(numbers: readonly number[]): number {
  const middle = [...numbers].sort((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? Number.NaN;
  return mean(numbers.map((one) => Math.min(one, middle * MOST_TIMES)));
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
}
