/** What a configuration file may contain, also as a JSON Schema for editors. */
import { z } from "zod";
import { GENERATORS, RULES } from "../../generators/config/schema.ts";
import { keyOf, rowOf, SETTING_NAMES, type SettingName } from "../settings/table.ts";

const TEXT = z.union([z.string(), z.number()], "expected text or a number");
const TEXTS = z.union([z.string(), z.array(z.string())], "expected text, or a list of texts");
const SWITCH = z.boolean("expected true or false");
const HEADERS = z.record(z.string(), z.string("expected text"), "expected an object, such as { X-Team: data }");

/** What a setting may be in a file. */
export function schemaOf(name: SettingName) {
  const { type, options, multiple, list } = rowOf(name);
  if (type === "boolean") return SWITCH;
  if (type === "enum") return z.enum(options ?? [], `expected one of ${(options ?? []).join(", ")}`);
  if (multiple) return HEADERS;
  return list ? TEXTS : TEXT;
}

/** For files without code, in which every key is spelt as its flag. */
export function createJsonSchema(): z.core.JSONSchema.BaseSchema {
  const settings = SETTING_NAMES.map((name) => [keyOf(name), describe(name)]);
  const whole = z.strictObject({
    $schema: z.string().optional(),
    ...Object.fromEntries(settings),
    generators: GENERATORS.optional(),
    rules: RULES.optional(),
  });
  return { ...z.toJSONSchema(whole), title: "The configuration of llmfs" };
}

function describe(name: SettingName): z.ZodType {
  const { description } = rowOf(name);
  return schemaOf(name).optional().describe(description);
}
