/** What the package gives to those who write generators. The program itself needs none of it. */
export { FsError } from "./errno.ts";
export {
  type BuiltIn,
  type ConfigFile,
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
