/** Finds the generator configuration. A mount without one does not load any other part of the generators. */
import { existsSync } from "node:fs";
import { extname, join } from "node:path";

/** The names of the file in order of preference. */
const CONFIG_NAMES = ["ts", "js", "json", "yaml", "yml", "toml"].map((ending) => `llmfs.config.${ending}`);

/** Extensions of configurations that are executed. All others are only read. */
const CODE = [".ts", ".js", ".mts", ".mjs"];

/** The configuration file in a directory, if there is one. */
export function findConfig(directory: string): string | undefined {
  return CONFIG_NAMES.map((name) => join(directory, name)).find((file) => existsSync(file));
}

/** Whether loading the configuration executes it. */
export function isCode(file: string): boolean {
  return CODE.includes(extname(file));
}
