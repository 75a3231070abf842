/**
 * The built-in generators by name. They implement the same contract as users' generators. If a generator needs more than
 * its context (the model, the directory of the configuration), its factory gets that here.
 */
import { createExecGenerator } from "./builtin/exec.ts";
import { createHttpGenerator } from "./builtin/http.ts";
import { createLlmGenerator, type LlmOptions } from "./builtin/llm.ts";
import { createSqlGenerator } from "./builtin/sql.ts";
import { staticGenerator } from "./builtin/static.ts";
import { createTemplateGenerator } from "./builtin/template.ts";
import type { ContentGenerator } from "./contract.ts";
import type { SourceGenerator, SourceParts } from "./source.ts";

/** The parts for built-in generators that need no configuration. */
export interface GeneratorParts {
  readonly llm: LlmOptions;
}

const BUILT_IN = {
  llm: (parts) => createLlmGenerator(parts.llm),
  static: () => staticGenerator,
} satisfies Record<string, (parts: GeneratorParts) => ContentGenerator>;

/** The generators for the rules of a configuration. Their dependencies are loaded at first use. */
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
