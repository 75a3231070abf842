import type { ChatSchema } from "../../llm/llm.ts";

const text = { type: "string" };

const UNFINISHED = listSchema({ path: text, brief: text, files: { type: "integer" } });

/**
 * The shape of a layout's answer. `uses` is left out for files that do not depend on each other.
 *
 * OpenAI's strict subset: all properties required, no additional properties, no recursion. `files` is the first property,
 * because servers that constrain the answer make models write the properties in this order, and a model that begins with
 * an optional list may put everything into it. Few files are executable, so they are listed by path: a property of each
 * file would cost several tokens per file.
 */
export function createStructureSchema({ uses }: { readonly uses: boolean }): ChatSchema {
  return {
    name: "directory_tree",
    schema: objectSchema({
      files: {
        ...listSchema({ path: text, description: text, ...(uses && { uses: { type: "array", items: text } }) }),
        minItems: 1,
      },
      directories: listSchema({ path: text, description: text, prompt: text }),
      symlinks: listSchema({ path: text, target: text }),
      executable: { type: "array", items: text },
      unfinished: UNFINISHED,
    }),
  };
}

function objectSchema(properties: Record<string, unknown>) {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

function listSchema(properties: Record<string, unknown>) {
  return { type: "array", items: objectSchema(properties) };
}
