/**
 * Measures how processor time grows with the input, so that a busy machine does not change the result.
 *
 * The inputs are those that make matchers and parsers slow: one character repeated, a few tokens repeated, something
 * that starts again and again and never ends, and random mixtures of all these.
 */
import { expect } from "bun:test";
import { Random } from "./random.ts";

/** An input of about `length` characters. */
export type Input = (length: number) => string;

const SMALL = 32 * 1024;
const GROWTH = 4;
/** Linear work grows like its input. Up to three times that is noise; quadratic work is above it. */
const MOST_GROWTH = 3 * GROWTH;
/** Shorter times are ignored, however they grow. */
const NOTHING_MS = 50;
const TRIES = 8;

/** Fails if four times the input takes much more than four times as long. `length` is that of the smaller input. */
export async function expectLinear(input: Input, work: (text: string) => unknown, length = SMALL): Promise<void> {
  const [short, long] = [input(length), input(length * GROWTH)];
  let [ofShort, ofLong] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    ofShort = Math.min(ofShort, await processorTime(() => work(short)));
    ofLong = Math.min(ofLong, await processorTime(() => work(long)));
    if (ofLong <= NOTHING_MS || ofLong <= ofShort * MOST_GROWTH) return;
  }
  expect({ milliseconds: ofLong, for: `${long.slice(0, 40)}…` }).toEqual({
    milliseconds: expect.closeTo(ofShort * GROWTH, -2),
    for: "an input four times as long",
  });
}

/** Milliseconds of user time. */
async function processorTime(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  return process.cpuUsage(before).user / 1000;
}

/** Repeats the fragment, after a beginning. */
export function repeated(fragment: string, beginning = ""): Input {
  return (length) => beginning + fragment.repeat(Math.ceil(length / fragment.length));
}

/** Characters and runs for testing any matcher. */
export const RUNS: Readonly<Record<string, Input>> = {
  "line ends": repeated("\n"),
  "line ends of Windows": repeated("\r\n"),
  "carriage returns": repeated("\r"),
  blanks: repeated(" "),
  tabs: repeated("\t"),
  "one letter": repeated("a"),
  "one digit": repeated("7"),
  "one Japanese character": repeated("潮"),
  "one emoji": repeated("😀"),
  "combining accents": repeated("\u0301"),
  "halves of characters": repeated("\ud800"),
  "NUL characters": repeated("\0"),
  "line separators": repeated("\u2028"),
  dots: repeated("."),
  slashes: repeated("/"),
  hyphens: repeated("-"),
  underscores: repeated("_"),
  backslashes: repeated("\\"),
  quotes: repeated('"'),
  apostrophes: repeated("'"),
  backquotes: repeated("`"),
  "opening brackets": repeated("["),
  "opening braces": repeated("{"),
  "opening parentheses": repeated("("),
  "less-than signs": repeated("<"),
  asterisks: repeated("*"),
  colons: repeated(":"),
  "equals signs": repeated("="),
  commas: repeated(","),
};

const MIXED = 4096;

/**
 * Fragments in random order, each repeated a random number of times. The longer input is the shorter one several times:
 * otherwise it could have more of what takes long.
 */
export function mixture(seed: number, fragments: readonly string[]): Input {
  const random = new Random(seed);
  let mixed = "";
  while (mixed.length < MIXED) {
    mixed += random.pick(fragments).repeat(1 + random.below(random.chance(0.1) ? 400 : 4));
  }
  return repeated(mixed.slice(0, MIXED));
}
