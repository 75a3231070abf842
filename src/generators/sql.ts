import type { SourceGenerator, SourceParts } from "./source.ts";
export function sqlGenerator(_parts: SourceParts): SourceGenerator {
  return { generate: () => ({ content: "" }) };
}
