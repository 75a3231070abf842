/**
 * The built-in generators by name. Each is made like a user's own and is reached through the same contract; what a
 * generator needs beyond its context (the model) goes into its factory here.
 */
import type { ContentGenerator } from "./generator.ts";
import { type LlmOptions, llmGenerator } from "./llm.ts";
import { staticGenerator } from "./static.ts";

/** What the built-in generators are made of. */
export interface GeneratorParts {
  readonly llm: LlmOptions;
}

const BUILT_IN = {
  llm: (parts) => llmGenerator(parts.llm),
  static: () => staticGenerator,
} satisfies Record<string, (parts: GeneratorParts) => ContentGenerator>;

export function builtInGenerators(parts: GeneratorParts): Map<string, ContentGenerator> {
  return new Map(Object.entries(BUILT_IN).map(([name, make]) => [name, make(parts)]));
}
