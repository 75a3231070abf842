/** What the name of a file reveals about its content, as far as that affects how an answer becomes a file. */
import { basename } from "node:path";

/**
 * - "code": read by a compiler or parser; sentences and code fences between its lines are errors
 * - "markup": the same, with elements in angle brackets
 * - "prose": anything is allowed
 */
export type FileKind = "code" | "markup" | "prose";

/** File extensions, and the names of their languages after a code fence: those on one line belong together. */
const LANGUAGES: readonly string[] = [
  "py pyi pyw pyx python python3 cython",
  "js mjs cjs jsx ts mts cts tsx javascript typescript node",
  "json jsonc json5 jsonl ndjson geojson ipynb webmanifest",
  "yml yaml",
  "toml ini cfg conf properties env dotenv editorconfig",
  "gitignore dockerignore npmignore gitattributes ignore",
  "sh bash zsh ksh fish shell shellscript",
  "c h cc cpp cxx hpp hh hxx c++ m mm objective-c objectivec matlab octave",
  "cs csharp c#",
  "java",
  "kt kts kotlin",
  "scala sc",
  "groovy gradle jenkinsfile",
  "go golang mod",
  "rs rust",
  "rb ruby rake gemspec gemfile rakefile vagrantfile",
  "php",
  "pl pm perl",
  "lua",
  "r",
  "jl julia",
  "swift",
  "dart",
  "ex exs elixir",
  "erl hrl erlang",
  "hs haskell",
  "elm",
  "ml mli ocaml",
  "fs fsx fsharp f#",
  "clj cljs cljc edn clojure",
  "lisp el scm rkt scheme racket elisp common-lisp",
  "nim",
  "zig",
  "d",
  "v sv verilog systemverilog",
  "vhd vhdl",
  "sql psql postgresql mysql sqlite plsql tsql ddl",
  "graphql gql",
  "proto protobuf proto3",
  "thrift",
  "css scss sass less styl stylus",
  "tf tfvars hcl terraform",
  "nix",
  "cmake cmakelists",
  "mk make makefile gnumakefile",
  "dockerfile docker containerfile",
  "ps1 psm1 powershell pwsh",
  "bat cmd batch",
  "csv tsv",
  "s asm nasm assembly",
  "f f90 f95 for fortran",
  "pas pascal",
  "awk",
  "gd gdscript",
  "glsl hlsl wgsl vert frag",
  "sol solidity",
  "prisma",
  "bzl bazel starlark build workspace",
  "vim viml vimscript",
  "cr crystal",
  "cob cbl cobol",
  "requirements pip",
];

const MARKUP: readonly string[] = ["html htm xhtml vue svelte astro", "xml xsd xsl xslt rss atom plist svg csproj pom"];

const groups = new Map<string, ReadonlySet<string>>();
for (const line of [...LANGUAGES, ...MARKUP]) {
  const group = new Set(line.split(" "));
  for (const word of group) groups.set(word, group);
}
const markup = new Set(MARKUP.flatMap((line) => line.split(" ")));

export function kindOfFile(path: string): FileKind {
  const type = typeOf(path);
  if (markup.has(type)) return "markup";
  return groups.has(type) ? "code" : "prose";
}

export function isMarkdown(path: string): boolean {
  return /\.(md|markdown|mdx|mdown|rmd|qmd)$/i.test(path);
}

/** Whether the info string of a code fence ("python", "ts title=…", "src/main.ts") matches the language of a file. */
export function fitsFile(info: string, path: string): boolean {
  const word =
    info
      .trim()
      .toLowerCase()
      .split(/[\s{,]/)[0] ?? "";
  if (word.includes("/") || word.endsWith(basename(path).toLowerCase()))
    return word.endsWith(basename(path).toLowerCase());
  return groups.get(typeOf(path))?.has(word.replace(/^\./, "").split(":")[0] ?? "") === true;
}

/** Whether the first line must not be indented, or a space at its beginning would change its meaning. */
export function beginsFlush(path: string): boolean {
  return /^(pyi?|pyw|pyx|ya?ml|nim|csv|tsv|env|gitignore|dockerignore|npmignore|gitattributes)$/.test(typeOf(path));
}

/** Whether a whole file may be shifted to the left. */
export function isPython(path: string): boolean {
  return /^py[iwx]?$/.test(typeOf(path));
}

/** Files known by their whole name. */
const NAMES = /^(gnu)?makefile$|^(docker|container|jenkins|gem|rake|vagrant)file$/;

/** The extension, or the whole name of a file known by it ("makefile", "gitignore"), in lower case; "" for others. */
function typeOf(path: string): string {
  const name = basename(path).toLowerCase();
  if (name === "cmakelists.txt" || name === "requirements.txt") return name.slice(0, -".txt".length);
  if (name.startsWith(".env")) return "env";
  const dot = name.lastIndexOf(".");
  if (dot >= 0) return name.slice(dot + 1);
  return NAMES.test(name) ? name : "";
}
