/**
 * The commands in sentences, tables and help texts, which are shorter than those of the examples: with alternatives and
 * options in brackets, with placeholders, and without the arguments that the reader knows. Each is executed once for each
 * alternative.
 */

import type { Command } from "../../src/cli/args/command.ts";
import { parseArguments } from "../../src/cli/args/parse.ts";
import { COMMANDS } from "../../src/cli/llmfs.ts";
import type { CommandLine } from "./markdown.ts";
import { file, pending, REPO, type Replacement, type Scene, SHOP, snapshot, written } from "./scenes.ts";

/** A program with an operand is a command, such as `cat FILE`. With flags only, such as `cp -a`, it is a name. */
const PROGRAMS =
  /^([A-Z_]+=\S* llmfs|(apk|bun|busybox|cat|claude|docker|find|getfattr|grep|head|install|mount|mv|npm|openssl|rm|setfattr|source|systemctl|tail|tar|test|timeout|umount|\S*\/bun) .*([/.*|<]|\b[A-Z]{2,}\b|(?<=^(npm|bun|apk|docker|openssl) .*).))/;

/** What a reader adds to a command that a sentence only names, or names with some flags. */
const ARGUMENTS: Readonly<Record<string, { readonly operands?: string; readonly flags?: string }>> = {
  mount: { operands: "DIR" },
  unmount: { operands: "DIR" },
  umount: { operands: "DIR" },
  run: { operands: "-- CMD" },
  status: { operands: "DIR" },
  tree: { operands: "DIR" },
  ls: { operands: "tree.json" },
  cat: { operands: "tree.json/a.md" },
  write: { operands: "tree.json/a.md" },
  export: { operands: "tree.json out" },
  import: { operands: "repo tree.json" },
  diff: { operands: "tree.json tree.json" },
  generate: { flags: "--prompt TEXT" },
  warm: { operands: "DIR" },
  check: { operands: "DIR -- CMD" },
  plan: { operands: "tree.json" },
  context: { operands: "DIR/FILE" },
  regen: { operands: "DIR/FILE" },
  why: { operands: "DIR/FILE" },
  recordings: { operands: "ls" },
  grow: { operands: "DIR", flags: "--prompt TEXT" },
  "generators test": { operands: "PATH" },
  add: { operands: "DIR/added.md 'a file'" },
  save: { operands: "DIR new.json" },
  mcp: { operands: "tree.json" },
  allow: { operands: "DIR" },
  completions: { operands: "bash" },
};

/** The commands among these, each alternative once, with all arguments. */
export async function commandsOf(spans: readonly CommandLine[]): Promise<readonly CommandLine[]> {
  const found = new Map<string, CommandLine>();
  for (const span of spans) {
    if (!/^llmfs /.test(span.text) && !PROGRAMS.test(span.text)) continue;
    for (const alternative of alternatives(span.text.replaceAll("\\|", "|"))) {
      const text = await complete(alternative);
      if (!found.has(text)) found.set(text, { ...span, text });
    }
  }
  return [...found.values()];
}

/** `A|B` is either; `[--flag]` may be left out; `…` stands for more of the same. */
function alternatives(text: string): readonly string[] {
  const option = /^(.*?) ?\[([^\]]*)\](.*)$/.exec(text);
  if (option !== null) {
    const [, before = "", inside = "", after = ""] = option;
    return [...alternatives(`${before}${after}`), ...alternatives(`${before} ${inside}${after}`)];
  }
  const choice = /^(.*?)([^\s|'"]+(?:\|[^\s|'"]+)+)(.*)$/.exec(text);
  if (choice !== null) {
    const [, before = "", choices = "", after = ""] = choice;
    return choices.split("|").flatMap((one) => alternatives(`${before}${one}${after}`));
  }
  return [text.replace(/ ?…/g, "")];
}

async function complete(text: string): Promise<string> {
  const [, name = "", rest = ""] = /^llmfs ([a-z]+)\b ?([^|<>;&]*)$/.exec(text) ?? [];
  const command = await COMMANDS.get(name === "umount" ? "unmount" : name)?.load();
  if (command === undefined || rest.includes("--help")) return text;
  const { operands = "", flags = "" } = ARGUMENTS[`${name} ${rest}`] ?? ARGUMENTS[name] ?? {};
  const words = [...rest.matchAll(/'[^']*'|"[^"]*"|\S+/g)].map(([word]) => word);
  const value = words.at(-1) === "-o" ? " new.json" : "";
  const has = operands === "" || (hasOperands(words, command) && ARGUMENTS[`${name} ${rest}`] === undefined);
  const missing = words.includes(flags.split(" ")[0] ?? "") || flags === "" ? "" : ` ${flags}`;
  return `${text}${value}${missing}${has ? "" : ` ${operands}`}`;
}

function hasOperands(words: readonly string[], { args, rest }: Command): boolean {
  try {
    const { values, rest: more } = parseArguments(words, args, rest);
    return more.length > 0 || [...values.keys()].some((name) => args[name]?.type === "positional");
  } catch {
    return false;
  }
}

const MINUTES: Replacement = {
  because: "it takes minutes, or writes into the checkout",
  by: (text) => {
    const [, script, source] = /npm run ([\w:]+)|bun (\S+\.ts)/.exec(text) ?? [];
    return source === undefined
      ? `grep -q '"${script}": ' $ROOT/package.json`
      : `bun build --no-bundle $ROOT/${source} > parsed.js`;
  },
};

const TREE = snapshot([
  ...["/a.md", "/draft.md"].map((path) => pending(path)),
  ...["/docs", "/tides"].map((path) => ({ path, type: "directory" })),
  ...["/docs/guide.md", "/tides/model.py"].map((path) => pending(path)),
  written("/orders.csv", ""),
]);

const CONFIG = `rules:
  - match: hello.txt
    generator: static
    options: { content: hello }
  - match: customers/{id}.json
    generator: template
    options: { text: "{}" }
  - match: orders.csv
    generator: sql
    options: { url: "sqlite:shop.db", query: SELECT * FROM orders }
`;

const TESTING = 'mkdir -p testing && cd testing && echo \'require("bun:test").test("a", () => {})\' > a.test.js';

export const SPANS: Scene = {
  given: `${REPO}${SHOP}${file("fresh/tree.json", TREE)}${file("fresh/prompt.txt", "a small tree\n")}
    ${file("llmfs.config.yaml", CONFIG)}cp -r $ROOT/examples/harbour harbour && mkdir mnt
    export LLMFS_TRUST=$HERE LLMFS_MOUNT=$HERE/mnt PATH=$PATH:$ROOT/node_modules/.bin\n`,
  beforeEach: (text) => `cd "$HERE" && cp fresh/* . && rm -rf out out.tar && unset LLMFS_RECORDINGS_KEY
    if ${/^llmfs (mount )?DIR\b/.test(text)} || [ ! -e mnt/a.md ]; then
      if mountpoint -q mnt; then llmfs unmount mnt; fi
    fi
    if ${!/^llmfs (mount )?DIR\b/.test(text)} && [ ! -e mnt/a.md ]; then
      llmfs mount mnt --from tree.json --confirm-over 1000
    fi`,
  words: {
    // What the reader of these sentences has.
    "run --check": "run --from repo --check",
    "recordings prune --for": "recordings prune --recordings rec --for",
    "llmfs.config.ts": "llmfs.config.yaml",
    "grow DIR --prompt TEXT": "grow mnt --prompt 'an outline'",
    "grow --prompt TEXT DIR": "grow mnt --prompt 'an outline'",
    "grow DIR/SUB --prompt TEXT": "grow mnt/docs --prompt 'an outline'",
    "--from FILE": "--from tree.json",
    "--prompt FILE": "--prompt prompt.txt",
    "DIR/FILE": "mnt/a.md",
    "DIR/PATH": "mnt/new/file.md",
    "/abs/path/to/mount": "mnt",
    "/mnt/tree": "mnt",
    "BEFORE AFTER": "../repo ../changed",
    DIR: "mnt",
    FILE: "mnt/a.md",
    PATH: "hello.txt",
    TEXT: "'a small tree'",
    CMD: "true",
    GLOB: "'*.md'",
    RULES: "'deny program=rg'",
    COMMAND: "mount",
    NAME: "gpt-6.1-terra",
    M: "gpt-6.1-terra",
  },
  before: {
    "llmfs init": "rm -rf empty && mkdir empty && cd empty",
    "llmfs recordings sign": "export LLMFS_RECORDINGS_KEY=a-secret-of-a-test",
    "llmfs regen FILE": "setfattr -n user.llmfs.generator -v llm mnt/a.md",
    "llmfs regen --undo": "llmfs regen mnt/a.md",
    "llmfs regen DIR/FILE --undo": "llmfs regen mnt/a.md",
    "llmfs import out": "mkdir out",
    "llmfs diff BEFORE AFTER":
      "cp -r repo changed && cp -r repo copy && printf 'all:\\n\\ttrue\\n' > changed/Makefile && cd copy",
    "llmfs recordings prune --for": "mkdir -p rec",
    "llmfs grow": "rm -f mnt/docs/outline.md",
    "llmfs context /docs/berthing.md --from harbour.json": "cd harbour",
    "llmfs plan harbour.json": "cd harbour",
    "tail -f DIR": "llmfs regen mnt/a.md",
    "cat customers": "cd mnt",
    "cat tides": "cd mnt",
    "test -e customers": "cd mnt",
    "mv draft.md": "cd mnt",
    "rm -rf *": "cd mnt",
    "find . -name": "cd mnt",
    "bun test": TESTING,
    "BUN_BE_BUN=1": TESTING,
  },
  statuses: { "llmfs diff DIR tree.json": 1, "llmfs diff BEFORE AFTER": 1 },
  follows: ["tail -f DIR", "llmfs status DIR --watch", "llmfs status --watch"],
  replaced: {
    "npm run": MINUTES,
    "bun bench": MINUTES,
    "bun build": MINUTES,
    "node_modules/.bin/bun build": MINUTES,
    install: {
      because: "it would change the machine",
      by: (text) => text.replace(" dist/", " $ROOT/dist/").replace(" /usr/local/bin/", " ./"),
    },
    "npm start": {
      because: "it runs in a checkout",
      by: (text) => `cd $ROOT && ${text} | grep -q 'llmfs COMMAND'`,
    },
    docker: {
      because: "a container needs a daemon; llmfs doctor prints the same flags",
      by: (text) => `llmfs doctor | grep -F -e '${text}'`,
    },
    apk: {
      because: "it is for another system; the executable for it says what it needs, where it was built",
      by: "[ ! -e $ROOT/dist/llmfs-linux-x64-musl ] || grep -q 'libstdc++' $ROOT/dist/llmfs-linux-x64-musl",
    },
    claude: {
      because: "it is not free software; the server that it would start runs",
      by: (text) => text.split(" -- ")[1] ?? "",
    },
    "source <(llmfs completions zsh)": {
      because: "it is for zsh",
      by: "zsh -f -c 'autoload -U compinit && compinit -D -u && source <(llmfs completions zsh)'",
    },
    "llmfs completions fish | source": {
      because: "it is for fish",
      by: "fish --no-config -c 'llmfs completions fish | source'",
    },
  },
};
