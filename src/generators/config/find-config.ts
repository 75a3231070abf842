/** Finds the generator configuration. A mount without one does not load any other part of the generators. */
import { existsSync } from "node:fs";
import { extname, join } from "node:path";

/** In order of preference. */
const EXTENSIONS = ["ts", "js", "json", "yaml", "yml", "toml"];

/** Extensions of configurations that are executed. All others are only read. */
const CODE = [".ts", ".js", ".mts", ".mjs"];

/** The configuration file in a directory, if there is one. `base`: its name without the extension. */
export function findConfig(directory: string, base = "llmfs.config"): string | undefined {
  return EXTENSIONS.map((extension) => join(directory, `${base}.${extension}`)).find((file) => existsSync(file));
}

/** Whether loading the configuration executes it. */
export function isCode(file: string): boolean {
  return CODE.includes(extname(file));
}
