/** The settings in force, and where each of them comes from. Secrets are masked. */
import { DEFAULT_TOKENS } from "../../generate/context/context.ts";
import { withoutSecrets } from "../../recording/stores/address.ts";
import { withoutPassword } from "../mount-info.ts";
import type { Given, GivenSettings, Layer } from "../settings/given.ts";
import { type Config, hasApiKey } from "../settings/settings.ts";
import { keyOf, rowOf, SETTING_NAMES, type SettingName } from "../settings/table.ts";
import { locate } from "./locate.ts";

export interface SettingInForce {
  /** As in a configuration file. */
  readonly key: string;
  /** As it is written. Absent: not set, and without a default. */
  readonly value?: string;
  readonly from: "flag" | "variable" | "file" | "default";
  /** The flag, the variable or the path of the file. */
  readonly source?: string;
  /** In the file. */
  readonly line?: number;
}

const MASK = "***";

export async function describeSettings(given: GivenSettings, config: Config): Promise<readonly SettingInForce[]> {
  const all = await Promise.all(
    SETTING_NAMES.map(async (name): Promise<readonly SettingInForce[]> => {
      if (name === "header") return await describeHeaders(given.layers);
      const layer = given.layers.find((one) => one.find(name) !== undefined);
      const found = layer?.find(name);
      if (layer === undefined || found === undefined || isOverridden(name, config))
        return [describeDefault(name, config)];
      return [{ key: keyOf(name), value: mask(name, found.text), ...(await originOf(layer, found, [keyOf(name)])) }];
    }),
  );
  const key = hasApiKey() ? [{ key: KEY, value: MASK, from: "variable" as const, source: KEY }] : [];
  return [...all.flat(), ...key];
}

const KEY = "OPENAI_API_KEY";

/** A prompt and a snapshot exclude each other: one of them may come from a place that counts more. */
function isOverridden(name: SettingName, config: Config): boolean {
  return (name === "prompt" && config.prompt === undefined) || (name === "from" && config.from === undefined);
}

function describeDefault(name: SettingName, config: Config): SettingInForce {
  const { type, usual } = rowOf(name);
  const places: Partial<Record<SettingName, string | number | undefined>> = {
    recordings: config.recordings,
    logFile: config.logFile,
    inodes: config.inodes,
    contextTokens: DEFAULT_TOKENS,
  };
  const value = usual ?? (type === "boolean" ? "false" : places[name]);
  return { key: keyOf(name), ...(value !== undefined && { value: String(value) }), from: "default" };
}

/** Headers from all places are sent. If several places set the same header, the first place wins. */
async function describeHeaders(layers: readonly Layer[]): Promise<readonly SettingInForce[]> {
  const seen = new Set<string>();
  const all: SettingInForce[] = [];
  for (const layer of layers) {
    const found = layer.find("header");
    for (const line of found?.text.split("\n") ?? []) {
      const name = line.split(":", 1)[0]?.trim() ?? "";
      if (found === undefined || name === "" || seen.has(name.toLowerCase())) continue;
      seen.add(name.toLowerCase());
      const key = keyOf("header");
      all.push({ key: `${key}.${name}`, value: MASK, ...(await originOf(layer, found, [key, name])) });
    }
  }
  return all.length === 0 ? [{ key: keyOf("header"), from: "default" }] : all;
}

async function originOf({ file }: Layer, { source, level }: Given, path: readonly string[]) {
  if (file === undefined) return { from: level === 0 ? ("flag" as const) : ("variable" as const), source };
  const line = await locate(file.file, path);
  return { from: "file" as const, source: file.file, ...(line !== undefined && { line }) };
}

function mask(name: SettingName, text: string): string {
  if (name === "recordings") return withoutSecrets(text);
  return name === "baseUrl" ? withoutPassword(text) : text;
}
