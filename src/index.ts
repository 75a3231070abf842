/** What the package gives to those who write generators. The program itself needs none of it. */
export { FsError } from "./errno.ts";
export { type BuiltIn, type ConfigFile, type Duration, defineConfig, type RuleConfig } from "./generators/config.ts";
export { type ContractCase, contractTest } from "./generators/contract.ts";
export type {
  ContentGenerator,
  FileContent,
  FileInfo,
  GeneratorContext,
  GeneratorLog,
  JsonValue,
  ListContext,
  Listed,
  ListedEntry,
  RelatedFile,
  TreeEntry,
  Unchanged,
} from "./generators/generator.ts";
