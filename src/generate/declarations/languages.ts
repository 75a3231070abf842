/** The programming languages whose declarations are recognized, by file name. */
import { posix } from "node:path";

/** The extensions of each grammar's files. */
const EXTENSIONS = {
  bash: ["sh", "bash", "zsh", "ksh", "bats"],
  "c-sharp": ["cs"],
  cpp: ["c", "h", "cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "ipp", "cu", "ino"],
  go: ["go"],
  java: ["java"],
  php: ["php"],
  python: ["py", "pyi", "pyw"],
  ruby: ["rb", "rake", "gemspec"],
  rust: ["rs"],
  // It has both type annotations and JSX.
  tsx: ["js", "jsx", "cjs", "mjs", "tsx"],
  typescript: ["ts", "mts", "cts"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type Language = keyof typeof EXTENSIONS;

const BY_EXTENSION: ReadonlyMap<string, Language> = new Map(
  Object.entries(EXTENSIONS).flatMap(([language, extensions]) =>
    // The keys are those of the table.
    extensions.map((extension) => [extension, language as Language] as const),
  ),
);

/** The programs that run a script without an extension. */
const BY_INTERPRETER: Readonly<Record<string, Language>> = {
  sh: "bash",
  bash: "bash",
  dash: "bash",
  zsh: "bash",
  python: "python",
  python3: "python",
  node: "tsx",
  bun: "typescript",
  deno: "typescript",
  ruby: "ruby",
  php: "php",
};

export function languageOf(path: string, text: string): Language | undefined {
  const extension = posix.extname(path).slice(1).toLowerCase();
  if (extension !== "") return BY_EXTENSION.get(extension);
  const [, program = "", argument = ""] = /^#!\s*(\S+)(?:[ \t]+(?:-S[ \t]+)?(\S+))?/.exec(text) ?? [];
  const name = posix.basename(program) === "env" ? argument : posix.basename(program);
  return Object.hasOwn(BY_INTERPRETER, name) ? BY_INTERPRETER[name] : undefined;
}
