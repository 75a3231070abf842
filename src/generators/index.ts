/**
 * The built-in generators by name. Each is made like a user's own and is reached through the same contract; what a
 * generator needs beyond its context (the model, the configuration's directory) goes into its factory here.
 */
import { execGenerator } from "./builtin/exec.ts";
import { httpGenerator } from "./builtin/http.ts";
import { type LlmOptions, llmGenerator } from "./builtin/llm.ts";
import { sqlGenerator } from "./builtin/sql.ts";
import { staticGenerator } from "./builtin/static.ts";
import { templateGenerator } from "./builtin/template.ts";
import type { ContentGenerator } from "./contract.ts";
import type { SourceGenerator, SourceParts } from "./source.ts";

/** What the built-in generators that need no configuration are made of. */
export interface GeneratorParts {
  readonly llm: LlmOptions;
}

const BUILT_IN = {
  llm: (parts) => llmGenerator(parts.llm),
  static: () => staticGenerator,
} satisfies Record<string, (parts: GeneratorParts) => ContentGenerator>;

/** Those that work for the rules of a configuration. What they need is loaded when they are first used. */
const SOURCES = {
  exec: execGenerator,
  http: httpGenerator,
  sql: sqlGenerator,
  static: () => staticGenerator,
  template: templateGenerator,
} satisfies Record<string, (parts: SourceParts) => SourceGenerator>;

export function builtInGenerators(parts: GeneratorParts): Map<string, ContentGenerator> {
  return new Map(Object.entries(BUILT_IN).map(([name, make]) => [name, make(parts)]));
}

export function sourceGenerators(parts: SourceParts): Map<string, SourceGenerator> {
  return new Map(Object.entries(SOURCES).map(([name, make]) => [name, make(parts)]));
}
