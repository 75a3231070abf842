/** The public API of the package for authors of generators. The program itself does not use this file. */
export { FsError } from "./errno.ts";
export {
  type BuiltIn,
  type ConfigFile,
  type ConfigSettings,
  type Duration,
  defineConfig,
  type RuleConfig,
} from "./generators/config/config.ts";
export type {
  ContentGenerator,
  FileContent,
  GeneratorContext,
  GeneratorLog,
  JsonValue,
  ListContext,
  Listed,
  ListedEntry,
  RelatedFile,
  Unchanged,
} from "./generators/contract.ts";
export { type ContractCase, contractTest } from "./generators/contract-test.ts";
export type { FileInfo, TreeEntry } from "./rpc/tree-port.ts";
