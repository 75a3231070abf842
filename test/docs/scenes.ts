/**
 * What each document assumes of the directory in which its command lines are typed.
 *
 * To add an example to a document, write it there: it is executed with the others. If it names something that the
 * document does not create, add that to `given`; if it contains a placeholder, add it to `words`.
 */

import { IS_ROOT } from "../support/mounted.ts";
import { mountNamespace } from "../support/needs.ts";
import { FILES, type Usage } from "./model.ts";

export interface Scene {
  /** A script that prepares the directory. */
  readonly given?: string;
  /** What placeholders stand for. Longer ones first, if one begins like another. */
  readonly words?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Scripts to run before a line, by its beginning. */
  readonly before?: Readonly<Record<string, string>>;
  /** A script to run before each line. */
  readonly beforeEach?: (text: string) => string;
  /** A script that fails if the lines have not done what the document says. */
  readonly finally?: string;
  /** The lines that never end by themselves, by their beginning. They are interrupted when they have printed something. */
  readonly follows?: readonly string[];
  /** Exit statuses other than 0, by the beginning of the line. */
  readonly statuses?: Readonly<Record<string, number>>;
  /** The lines that cannot be executed in a test, by their beginning. */
  readonly replaced?: Readonly<Record<string, Replacement>>;
  /** Members of JSON whose values differ from time to time. */
  readonly varying?: readonly string[];
  /** What the model reports for each answer. */
  readonly usage?: Usage;
  readonly shell?: readonly string[];
  /** What the machine lacks for it. */
  readonly lacking?: string | undefined;
}

export interface Replacement {
  readonly because: string;
  /** What is executed in its place. */
  readonly by: string | ((text: string) => string);
}

export const file = (name: string, text: string) =>
  `mkdir -p "$(dirname '${name}')"\ncat > '${name}' <<'END'\n${text}END\n`;

export const snapshot = (entries: readonly object[]) => JSON.stringify({ llmfs: 1, entries }, null, 1).concat("\n");
export const pending = (path: string, xattrs: Readonly<Record<string, string>> = {}) => ({
  path,
  type: "file",
  state: "pending",
  xattrs: { "user.llmfs.generator": "llm", ...xattrs },
});
export const written = (path: string, text: string) => ({ path, type: "file", text });
const directory = (path: string) => ({ path, type: "directory" });

const TREE = file("tree.json", snapshot([pending("/a.md"), directory("/docs"), pending("/docs/guide.md")]));

/** A directory with a program, and a test of it. */
export const REPO =
  file("repo/tides.py", "def level(hour):\n    return 0\n") +
  file("repo/Makefile", "test:\n\tpython3 -c 'import tides; assert tides.level(0) == 0'\n") +
  // Where pytest looks for what the tests import.
  file("repo/conftest.py", "");

export const SHOP = `sqlite3 shop.db "CREATE TABLE orders (id, customer); INSERT INTO orders VALUES (1, 'Ada'), (2, 'Grace')"\n`;

const INSTALLED: Replacement = {
  because: "it replaces the packages and the executable that other tests use at the same time; .ci/run runs it",
  by: "grep -q '^ *npm ci' $ROOT/.ci/run && grep -q '^ *npm run --silent build$' $ROOT/.ci/run && grep -q '^ *npm run --silent demo' $ROOT/.ci/run",
};

/** Replaying needs neither a key nor a server. */
const ALONE = "unset OPENAI_API_KEY; export OPENAI_BASE_URL=http://127.0.0.1:9";

/** Each of several examples mounts the same directory. */
const AFRESH = "if mountpoint -q mnt; then llmfs unmount mnt; fi";

export const SCENES: Readonly<Record<string, Scene>> = {
  "README.md": {
    given:
      REPO +
      SHOP +
      file("fixtures.txt", "a command-line to-do list in C\n") +
      file("Makefile", 'test:\n\tgrep -q "nothing to do" "$(LLMFS_MOUNT)/todo.c"\n'),
    words: { MODEL: "gpt-6.1-terra" },
    replaced: {
      "npm ci": INSTALLED,
      "npm run build": INSTALLED,
      "npm test": { because: "it would run itself", by: `grep -q '"test": ' $ROOT/package.json` },
    },
    before: { "llmfs run --warm --from tree.json --recordings recordings --model MODEL --mode replay": ALONE },
    finally: "grep -q 'nothing to do' todo.json && ! mountpoint -q work",
  },
  "docs/attributes.md": {
    given: `${TREE}mkdir mnt && llmfs mount mnt --from tree.json\n`,
    words: { FILE: "mnt/a.md", DIR: "mnt/docs", NAME: "gpt-6.1-terra" },
    finally: "[ $(getfattr --only-values -n user.llmfs.model mnt/docs) = gpt-6.1-terra ]",
  },
  "docs/check.md": {
    before: { "llmfs run --prompt todo.txt --recordings rec --mode replay": ALONE },
    given: `mkdir work\n${file("todo.txt", "a command-line to-do list in C\n")}`,
  },
  "docs/ci.md": {
    before: { "llmfs run --warm --mode replay": ALONE },
    given: `git init -q .\n${file("tree.txt", "a command-line to-do list in C\n")}`,
    finally: `cmp fixtures/todo.c - <<'END'\n${FILES["todo.c"]}END\ngit diff --cached --name-only | grep -q recordings/`,
  },
  "docs/configuration.md": {},
  "docs/context.md": {
    given: `${TREE}mkdir mnt && llmfs mount mnt --from tree.json\n`,
    words: { DIR: "mnt" },
  },
  "docs/control.md": {
    given: `${file("tree.json", snapshot([pending("/poem.md")]))}mkdir mnt && llmfs mount mnt --from tree.json\n`,
    words: { DIR: "mnt" },
    usage: { prompt_tokens: 310, completion_tokens: 80 },
    finally: `[ "$(getfattr --only-values -n user.llmfs.prompt mnt/poem.md)" = "In verse." ]`,
  },
  "docs/evaluation.md": {
    words: { NAME: "some-model" },
    replaced: {
      "npm ci": INSTALLED,
      "npm run eval": {
        because: "it takes minutes; test/eval/eval.test.ts runs all cases",
        by: (text) => `cd $ROOT && ${text.replace(" -- ", " -- --help ")} 2>&1 | grep -q 'the model to evaluate'`,
      },
    },
  },
  "docs/events.md": {
    given: `${TREE}mkdir mnt\n`,
    words: { DIR: "mnt" },
    before: {
      "tail -f": "llmfs mount mnt --from tree.json --price gpt-6.1-terra=1/5 && cat mnt/a.md",
      "llmfs mount": AFRESH,
    },
    follows: ["tail -f"],
    varying: ["at", "pid", "uid", "user", "ms"],
    usage: { prompt_tokens: 1100, completion_tokens: 700 },
  },
  "docs/generators.md": {
    words: { "/path/to/llmfs": "$ROOT" },
    env: { npm_config_offline: "true", npm_config_audit: "false", npm_config_fund: "false" },
    before: { "llmfs run": "llmfs trust llmfs.config.ts" },
    finally: "[ -e node_modules/llmfs/src/index.ts ]",
  },
  "docs/growing.md": {
    given: `${TREE}${REPO}${file("outline.md", "an outline\n")}mkdir mnt
      git -C repo init -q && git -C repo add -A && git -C repo -c user.name=me -c user.email=me@localhost commit -qm tides
      llmfs mount mnt --from repo && mkdir mnt/src && echo 'x = 1' > mnt/src/config.py\n`,
    words: { DIR: "mnt" },
    finally: `grep -q tides.1 tree.json && grep -q metres repo/tides.py && [ -e mnt/tests/test_tides.py ] && [ ! -e mnt/docs/outline.md ] &&
      [ "$(getfattr --only-values -n user.llmfs.depends mnt/docs/guide.md)" = /src/config.py ]`,
  },
  "docs/layout.md": {
    given: `${file(
      "tree.json",
      snapshot([
        pending("/stack.py"),
        directory("/tests"),
        pending("/tests/test_stack.py", { "user.llmfs.depends": "/stack.py" }),
      ]),
    )}mkdir mnt && llmfs mount mnt --from tree.json && cd mnt\n`,
  },
  "docs/lazy-files.md": {
    given: `${TREE}mkdir mnt\n`,
    words: { DIR: "mnt" },
    before: { "llmfs mount": AFRESH },
    finally: "llmfs unmount mnt && llmfs mount mnt --from tree.json && lsp mnt | grep ' pending .* a.md$'",
  },
  "docs/mcp.md": {
    given: `${TREE}mkdir mount && llmfs mount mount --from tree.json\n`,
    words: { "/abs/path/to": "$PWD" },
  },
  "docs/starting.md": {
    // The system's directories are private to the shell.
    shell: ["unshare", "--mount", "--propagation", "private", "bash", "--noprofile", "--norc"],
    lacking: IS_ROOT ? mountNamespace() : "root",
    given: `mkdir private data && mount -t tmpfs none private && mkdir private/up private/work
      mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=$PWD/private/up,workdir=$PWD/private/work /usr/sbin
      mount -t tmpfs none /srv && mount -t tmpfs none /mnt && mkdir /mnt/tree && mkdir private/bin
      mount --bind private/bin /usr/local/bin
      cp "$BINARY" /usr/local/bin/llmfs
      printf '#!/bin/sh\\nexec fusermount3 "$@"\\n' > /usr/local/bin/fusermount3-proxy
      chmod +x /usr/local/bin/fusermount3-proxy
      ${TREE}cp tree.json /srv/tree.json\n`,
    words: { "/data": "data" },
    before: {
      LLMFS_FUSERMOUNT: `ls /mnt/tree/a.md && umount /mnt/tree
        mount -T etc/fstab /mnt/tree && findmnt -n -t fuse.llmfs /mnt/tree && umount /mnt/tree`,
    },
    finally: "llmfs unmount data",
  },
  "examples/harbour/README.md": {
    given: "cp -r $ROOT/examples/harbour/. .\n",
    // The answers are recorded.
    env: { OPENAI_API_KEY: "", OPENAI_BASE_URL: "" },
  },
};

/** Documents whose lines another test executes, all of them. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  "docs/providers.md": "test/llm/providers.test.ts",
};
