/**
 * Provides `import … from "llmfs"` to a configuration file from the program itself, whether or not the package is installed
 * next to the file.
 */
import { plugin } from "bun";
import { FsError } from "../../errno.ts";
import { contractTest } from "../contract-test.ts";
import { defineConfig } from "./config.ts";

export function provideLlmfs(): void {
  plugin({
    name: "llmfs",
    setup(build) {
      build.module("llmfs", () => ({
        exports: { defineConfig, FsError, contractTest },
        loader: "object",
      }));
    },
  });
}
