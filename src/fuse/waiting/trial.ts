/** Compares ways to wait for requests, which take turns. */

/** A stretch of requests: how long it took, and what it cost. */
export interface Measured {
  readonly ms: number;
  /** NaN if that is not known. */
  readonly cost: number;
}

/** How another way did, relative to the present one. `cost` is NaN if it is not known. `ms`: the time of a stretch. */
export interface Outcome {
  readonly time: number;
  readonly cost: number;
  readonly ms: number;
}

/** The number of stretches in a turn. The first is not counted, because threads are still being moved. */
const TURN = 4;
/** The time, relative to the best way, beyond which a way drops out after each round. The trial ends with the last one. */
const LIMITS = [2, 1.3, 1.2, 1.15, 1.1] as const;
/** The limit of the present way after the first round. */
const PRESENT_LIMIT = 3;
/** A stretch counts as at most three times the middle one, because a very slow one has other causes. */
const MOST_TIMES = 3;

/**
 * A trial of several ways. In each round every way has a turn, in the order opposite to that of the round before: so a stream
 * that becomes faster all the time, because the engine is still compiling, shows which way is faster and not which one came
 * later. Ways that are clearly worse than the best one drop out, so that they cost little.
 */
export class Trial<Way = string> {
  readonly #present: Way;
  readonly #usualMs: number;
  readonly #costs: boolean;
  /** The ways that are still compared. */
  #left: readonly Way[];
  /** The turns of each way, one a round. */
  readonly #turns: Map<Way, Measured[][]>;
  #round = 0;
  /** The ways that have no turn yet in this round, and the number of stretches in the current turn. */
  #waiting: Way[];
  #over = 0;

  /** `usualMs`: what a stretch takes in the present way. `costs`: whether costs matter. */
  constructor(others: readonly Way[], present: Way, usualMs: number, costs: boolean) {
    this.#present = present;
    this.#usualMs = usualMs;
    this.#costs = costs;
    this.#left = [...others, present];
    this.#turns = new Map(this.#left.map((way) => [way, []]));
    this.#waiting = [...this.#left];
  }

  get way(): Way {
    return this.#waiting[0] ?? this.#present;
  }

  /** Returns the outcome of each other way when the trial is over. */
  note(measured: Measured): ReadonlyMap<Way, Outcome> | undefined {
    const { way } = this;
    const turns = this.#turnsOf(way);
    turns[this.#round] ??= [];
    const turn = turns[this.#round] ?? [];
    if (this.#over++ > 0) turn.push(measured);
    const isHopeless = way !== this.#present && this.#round === 0 && this.#isHopeless(turn);
    if (this.#over < TURN && !isHopeless) return undefined;
    this.#over = 0;
    this.#waiting.shift();
    if (isHopeless) this.#left = this.#left.filter((one) => one !== way);
    return this.#waiting.length > 0 ? undefined : this.#endRound();
  }

  #isHopeless(turn: readonly Measured[]): boolean {
    return turn.length > 0 && turn.every(({ ms }) => ms > this.#usualMs * LIMITS[0]);
  }

  #endRound(): ReadonlyMap<Way, Outcome> | undefined {
    const times = new Map(this.#left.map((way) => [way, this.#typical(way, (one) => one.ms)]));
    const best = Math.min(...times.values());
    this.#left = this.#left.filter((way) => (times.get(way) ?? best) <= best * this.#limitOf(way));
    this.#round++;
    if (this.#left.length === 1 || this.#round === LIMITS.length) return this.#outcomes();
    this.#waiting = this.#round % 2 === 1 ? this.#left.toReversed() : [...this.#left];
    return undefined;
  }

  #limitOf(way: Way): number {
    if (this.#round === 0 && way === this.#present) return PRESENT_LIMIT;
    // A way that takes longer may cost less.
    return (this.#costs ? LIMITS[0] : LIMITS[this.#round]) ?? 1;
  }

  #outcomes(): ReadonlyMap<Way, Outcome> {
    const others = [...this.#turns.keys()].filter((way) => way !== this.#present);
    return new Map(
      others.map((way) => {
        const time = this.#compare(way, (one) => one.ms);
        const cost = this.#compare(way, (one) => one.cost);
        return [way, { time, cost, ms: this.#typical(way, (one) => one.ms) }];
      }),
    );
  }

  /** The way relative to the present one, in the rounds that both had. */
  #compare(way: Way, of: (measured: Measured) => number): number {
    const rounds = Math.min(this.#turnsOf(way).length, this.#turnsOf(this.#present).length);
    return this.#typical(way, of, rounds) / this.#typical(this.#present, of, rounds);
  }

  /** A stretch of the way in its first rounds: the geometric mean of the rounds. NaN if nothing is known. */
  #typical(way: Way, of: (measured: Measured) => number, rounds: number = LIMITS.length): number {
    const turns = this.#turnsOf(way).slice(0, rounds);
    const known = turns.map((turn) => turn.map(of).filter((one) => !Number.isNaN(one)));
    const most = middle(known.flat()) * MOST_TIMES;
    const means = known.flatMap((turn) => (turn.length === 0 ? [] : mean(turn.map((one) => Math.min(one, most)))));
    return Math.exp(mean(means.map((one) => Math.log(Math.max(one, Number.MIN_VALUE)))));
  }

  #turnsOf(way: Way): Measured[][] {
    return this.#turns.get(way) ?? [];
  }
}

/** The number of stretches of probation, and how many it takes at least if the way is far from its promise. */
const PROBATION = 32;
const SHORT_PROBATION = 8;
/** How long a stretch may take, relative to the limit: in the whole probation, and earlier. */
const BROKEN = 1.2;
const BADLY_BROKEN = 1.6;

/**
 * Checks a new way after its trial. A way is not always as good as its trial, because for a while the processors behave as
 * the way before had left them.
 */
export class Probation<Way> {
  /** The way before, and what a stretch took in it. */
  readonly from: Way;
  readonly usualMs: number;
  readonly #limitMs: number;
  readonly #stretches: number[] = [];

  /** `time`: what the trial promised, relative to the way before. The new way is kept if it is only less good than that. */
  constructor(from: Way, usualMs: number, time: number) {
    this.from = from;
    this.usualMs = usualMs;
    this.#limitMs = usualMs * Math.max(time, 1);
  }

  /** Undefined until it is over. Then whether the new way is worse than it may be, and what a stretch takes in it. */
  note(ms: number): { readonly broken: boolean; readonly ms: number } | undefined {
    const length = this.#stretches.push(ms);
    if (length < SHORT_PROBATION) return undefined;
    const taken = typical(this.#stretches);
    const broken = taken > this.#limitMs * (length < PROBATION ? BADLY_BROKEN : BROKEN);
    return broken || length >= PROBATION ? { broken, ms: taken } : undefined;
  }
}

/** The mean, with less weight for the few that are much greater than the others. NaN if there are none. */
function typical(numbers: readonly number[]): number {
  const most = middle(numbers) * MOST_TIMES;
  return mean(numbers.map((one) => Math.min(one, most)));
}

function middle(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? Number.NaN;
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
}
