/**
 * The origin of content: metadata that llmfs stores with a file in addition to that of its generator.
 *
 * | metadata | meaning |
 * |---|---|
 * | `generator` | the name of the generator |
 * | `at` | when generation finished, in UTC |
 * | `ms` | how long generation took, not counting the wait for a slot |
 * | `left_out` | the files that it depends on and that did not exist, one path a line |
 *
 * The generator "llm" adds: `model`, `input_tokens`, `output_tokens`, `usd`, `request` (the key), `recorded`.
 *
 * A snapshot omits values that differ between runs, unless times are requested: see `VARYING` in snapshot/write/save.ts.
 */
import type { GeneratedContent } from "../rpc/generation.ts";

export const LEFT_OUT = "left_out";

export interface GenerationClock {
  /** Milliseconds since 1970. */
  date(): number;
  /** Monotonic milliseconds. */
  elapsed(): number;
}

const SYSTEM: GenerationClock = { date: () => Date.now(), elapsed: () => performance.now() };

/** Runs the work and adds its origin to the result. */
export async function stamp(
  generator: string,
  work: () => Promise<GeneratedContent>,
  clock: GenerationClock = SYSTEM,
): Promise<GeneratedContent> {
  const begun = clock.elapsed();
  return addOrigin(await work(), generator, begun, clock);
}

/** The same for content that is there. `begun`: when its generation began, by `clock.elapsed`. */
export function addOrigin(
  content: GeneratedContent,
  generator: string,
  begun: number,
  clock: GenerationClock = SYSTEM,
): GeneratedContent {
  if (content.unchanged === true) return content;
  const metadata = new Map(content.metadata);
  metadata.set("generator", generator);
  metadata.set("at", new Date(clock.date()).toISOString().replace(/\.\d+Z$/, "Z"));
  metadata.set("ms", String(Math.round(clock.elapsed() - begun)));
  return { ...content, metadata };
}
