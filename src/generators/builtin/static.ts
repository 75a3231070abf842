import { FsError } from "../../errno.ts";
import { refuseUnknownOptions } from "../config/options.ts";
import type { ContentGenerator, JsonValue } from "../contract.ts";

/** Content from the options of the rule: `{ "content": "…" }`, text or any JSON value. */
export const staticGenerator: ContentGenerator = {
  validate(options) {
    refuseUnknownOptions(options, ["content"]);
    if (options.content === undefined) throw new Error('the option "content" is missing: text, or a JSON value');
  },
  generate(path, { options }) {
    const { content } = options;
    if (!isJsonFile(content)) {
      throw new FsError("EIO", 'the generator "static" needs an option "content" with text or a JSON value', { path });
    }
    return { content };
  },
};

function isJsonFile(value: unknown): value is JsonValue {
  if (value === null || ["string", "boolean", "number"].includes(typeof value)) return true;
  if (Array.isArray(value)) return value.every(isJsonFile);
  return typeof value === "object" && Object.values(value).every(isJsonFile);
}
