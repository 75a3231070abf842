/**
 * Where a content comes from: what is kept with a file besides what its generator says of it.
 *
 * | metadata | meaning |
 * |---|---|
 * | `generator` | what made it |
 * | `at` | when it was there, in UTC |
 * | `ms` | how long it took to make, without waiting for its turn |
 *
 * Of the generator "llm": `model`, `input_tokens`, `output_tokens`, `usd`, `request` (the key), `recorded`.
 *
 * A snapshot leaves out what differs from run to run, unless times are asked for: see `VARYING` of snapshot/save.ts.
 */
import type { GeneratedContent } from "../rpc/generation.ts";

export interface GenerationClock {
  /** Milliseconds since 1970. */
  date(): number;
  /** Milliseconds that never go back. */
  elapsed(): number;
}

const SYSTEM: GenerationClock = { date: () => Date.now(), elapsed: () => performance.now() };

/** What the work makes, with where it comes from. */
export async function stamp(
  generator: string,
  work: () => Promise<GeneratedContent>,
  clock: GenerationClock = SYSTEM,
): Promise<GeneratedContent> {
  const begun = clock.elapsed();
  const content = await work();
  if (content.unchanged === true) return content;
  const metadata = new Map(content.metadata);
  metadata.set("generator", generator);
  metadata.set("at", new Date(clock.date()).toISOString().replace(/\.\d+Z$/, "Z"));
  metadata.set("ms", String(Math.round(clock.elapsed() - begun)));
  return { ...content, metadata };
}
