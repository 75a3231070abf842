/**
 * The built-in generators by name. They implement the same contract as users' generators. If a generator needs more than
 * its context (the model, the directory of the configuration), its factory gets that here.
 */
import { DEFAULT_GENERATOR } from "../attributes.ts";
import { createExecGenerator } from "./builtin/exec.ts";
import { createHttpGenerator } from "./builtin/http.ts";
import type { LlmGenerator } from "./builtin/llm.ts";
import { createSqlGenerator } from "./builtin/sql.ts";
import { staticGenerator } from "./builtin/static.ts";
import { createTemplateGenerator } from "./builtin/template.ts";
import type { ContentGenerator } from "./contract.ts";
import type { SourceGenerator, SourceParts } from "./source.ts";

/** The generators for the rules of a configuration. Their dependencies are loaded at first use. */
const SOURCES = {
  exec: createExecGenerator,
  http: createHttpGenerator,
  sql: createSqlGenerator,
  static: () => staticGenerator,
  template: createTemplateGenerator,
} satisfies Record<string, (parts: SourceParts) => SourceGenerator>;

/** The generators that need no configuration. */
export function createBuiltInGenerators(llm: LlmGenerator): Map<string, ContentGenerator> {
  return new Map<string, ContentGenerator>([
    [DEFAULT_GENERATOR, llm],
    ["static", staticGenerator],
  ]);
}

export function createSourceGenerators(parts: SourceParts): Map<string, SourceGenerator> {
  return new Map(Object.entries(SOURCES).map(([name, make]) => [name, make(parts)]));
}
