/**
 * The built-in generators by name. Each is made like a user's own and is reached through the same contract; what a
 * generator needs beyond its context (the model, the configuration's directory) goes into its factory here.
 */
import { createExecGenerator } from "./builtin/exec.ts";
import { createHttpGenerator } from "./builtin/http.ts";
import { createLlmGenerator, type LlmOptions } from "./builtin/llm.ts";
import { createSqlGenerator } from "./builtin/sql.ts";
import { staticGenerator } from "./builtin/static.ts";
import { createTemplateGenerator } from "./builtin/template.ts";
import type { ContentGenerator } from "./contract.ts";
import type { SourceGenerator, SourceParts } from "./source.ts";

/** What the built-in generators that need no configuration are made of. */
export interface GeneratorParts {
  readonly llm: LlmOptions;
}

const BUILT_IN = {
  llm: (parts) => createLlmGenerator(parts.llm),
  static: () => staticGenerator,
} satisfies Record<string, (parts: GeneratorParts) => ContentGenerator>;

/** Those that work for the rules of a configuration. What they need is loaded when they are first used. */
const SOURCES = {
  exec: createExecGenerator,
  http: createHttpGenerator,
  sql: createSqlGenerator,
  static: () => staticGenerator,
  template: createTemplateGenerator,
} satisfies Record<string, (parts: SourceParts) => SourceGenerator>;

export function createBuiltInGenerators(parts: GeneratorParts): Map<string, ContentGenerator> {
  return new Map(Object.entries(BUILT_IN).map(([name, make]) => [name, make(parts)]));
}

export function createSourceGenerators(parts: SourceParts): Map<string, SourceGenerator> {
  return new Map(Object.entries(SOURCES).map(([name, make]) => [name, make(parts)]));
}
