/** Where a configuration of generators is looked for. A mount without one loads nothing else of the generators. */
import { existsSync } from "node:fs";
import { extname, join } from "node:path";

/** Names of the file, best first. */
const CONFIG_NAMES = ["ts", "js", "json", "yaml", "yml", "toml"].map((ending) => `llmfs.config.${ending}`);

/** Endings of configurations that are run; all others are read. */
const CODE = [".ts", ".js", ".mts", ".mjs"];

/** The configuration file in a directory, if there is one. */
export function findConfig(directory: string): string | undefined {
  return CONFIG_NAMES.map((name) => join(directory, name)).find((file) => existsSync(file));
}

/** Whether loading the configuration runs it. */
export function isCode(file: string): boolean {
  return CODE.includes(extname(file));
}
