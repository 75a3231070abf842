import type { SourceGenerator, SourceParts } from "./source.ts";
export function httpGenerator(_parts: SourceParts): SourceGenerator {
  return { generate: () => ({ content: "" }) };
}
