/** The settings of a configuration file: every value of the right kind, every key known. */
import { isCode } from "../../generators/config/find-config.ts";
import { explainUnknownKey } from "../../generators/config/problem.ts";
import { UserError } from "../errors.ts";
import type { SettingsFile } from "../settings/given.ts";
import { keyOf, rowOf, SETTING_NAMES, type SettingName } from "../settings/table.ts";
import { schemaOf } from "./schema.ts";

/** `settings`: all keys of the file but "generators" and "rules". Throws UserError that names the key. */
export function readSettings(file: string, settings: Readonly<Record<string, unknown>>): SettingsFile {
  const names = new Map(SETTING_NAMES.flatMap((name) => spellings(file, name).map((key) => [key, name])));
  const values = new Map<SettingName, readonly string[]>();
  for (const [key, value] of Object.entries(settings)) {
    const name = names.get(key);
    if (name === undefined)
      throw new UserError(
        "input",
        `${file}: ${explainUnknownKey(key, ["generators", "rules", ...SETTING_NAMES.map(keyOf)])}`,
      );
    if (values.has(name)) throw new UserError("input", `${file}: ${key}: ${keyOf(name)} is there too`);
    const { data, error } = schemaOf(name).safeParse(value);
    const [issue] = error?.issues ?? [];
    if (issue !== undefined)
      throw new UserError("input", `${file}: ${[key, ...issue.path].join(".")}: ${issue.message}`);
    if (data !== undefined) values.set(name, toTexts(data));
  }
  return { file, values };
}

/** In code, keys may be written as identifiers. */
function spellings(file: string, name: SettingName): readonly string[] {
  const key = keyOf(name);
  return isCode(file) ? [key, rowOf(name).key ?? name] : [key];
}

/** As on the command line. */
function toTexts(value: string | number | boolean | readonly string[] | Readonly<Record<string, string>>): string[] {
  if (typeof value !== "object") return [String(value)];
  if (Array.isArray(value)) return [value.join(",")];
  return Object.entries(value).map(([name, text]) => `${name}: ${text}`);
}
