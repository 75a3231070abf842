/** The conventions, checked by reading the sources. Each title is the rule; the message names what breaks it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "..");

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

interface Import {
  /** As it is written: "./tree.ts", "openai". */
  readonly name: string;
  /** Path of the imported file below the root; undefined for packages. */
  readonly file: string | undefined;
  readonly typeOnly: boolean;
}

const sources = [...new Glob("src/**/*.ts").scanSync(ROOT)].sort().map(read);

function read(path: string): Source {
  const text = readFileSync(join(ROOT, path), "utf8");
  const imports: Import[] = [];
  const add = (name: string, typeOnly: boolean) => {
    const file = name.startsWith(".") ? normalize(join(dirname(path), name)) : undefined;
    imports.push({ name, file, typeOnly });
  };
  for (const [, kind, name] of text.matchAll(/^(?:import|export)(\s+type)?\s[^;"']*?from\s+"([^"]+)"/gm)) {
    add(name ?? "", kind !== undefined);
  }
  for (const [, name] of text.matchAll(/^import\s+"([^"]+)"/gm)) add(name ?? "", false);
  for (const [, name] of text.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g)) add(name ?? "", false);
  return { path, text, imports };
}

/** "tree" for src/tree/inode.ts, "log.ts" for src/log.ts. */
function area(path: string): string {
  return path.split("/")[1] ?? "";
}

/**
 * What each folder may import, type imports included. All may import LEAVES, which import only each other. Folders that
 * may be imported for their types only are in `types`.
 */
const ARROWS: Readonly<Record<string, { readonly may: readonly string[]; readonly types?: readonly string[] }>> = {
  "main.ts": { may: ["app", "cli", "fuse", "generators", "mount"] },
  "index.ts": { may: ["generators"], types: ["rpc"] },
  cli: {
    may: ["app", "fuse", "generate", "generators", "llm", "log.ts", "offline", "recording", "snapshot"],
    types: ["mount", "rpc"],
  },
  app: {
    may: ["fuse", "generate", "generators", "llm", "log.ts", "mount", "offline", "recording", "rpc", "snapshot"],
  },
  // A tree without a mount behaves like the filesystem thread, so it uses the same folders.
  offline: { may: ["disk", "fs", "generate", "llm", "recording", "rpc", "snapshot", "tree"], types: ["generators"] },
  mount: { may: ["fuse", "rpc", "snapshot"] },
  rpc: { may: [], types: ["log.ts"] },
  fs: { may: ["disk", "fuse", "rpc", "snapshot", "tree"] },
  generate: { may: ["generators", "llm"], types: ["rpc"] },
  generators: { may: ["llm"], types: ["rpc"] },
  snapshot: { may: ["tree"] },
  disk: { may: ["tree"] },
  recording: { may: ["llm"] },
  fuse: { may: [] },
  tree: { may: [] },
  llm: { may: [] },
  "log.ts": { may: ["log-file.ts"] },
  "log-file.ts": { may: [] },
};

/** Tables of the kernel's names, which are as long as they need to be. */
const TABLES = ["src/fuse/abi.ts", "src/fuse/ops.ts", "src/libc.ts"];

const LEAVES = [
  "abort.ts",
  "attributes.ts",
  "errno.ts",
  "inside-mount.ts",
  "int64.ts",
  "libc.ts",
  "mountinfo.ts",
  "procfs.ts",
  "self.ts",
  "text",
];

test("every part of src has its place in the dependency table", () => {
  const rooms = [...new Set(sources.map(({ path }) => area(path)))];
  expect(rooms.filter((room) => !Object.hasOwn(ARROWS, room) && !LEAVES.includes(room))).toEqual([]);
});

test("imports follow the dependency table", () => {
  const wrong: string[] = [];
  for (const { path, imports } of sources) {
    const from = area(path);
    const arrows = ARROWS[from];
    for (const { file, typeOnly } of imports) {
      if (file === undefined || !file.startsWith("src/")) continue;
      const to = area(file);
      const allowed =
        to === from ||
        (LEAVES.includes(to) && from !== "errno.ts") ||
        arrows?.may.includes(to) === true ||
        (typeOnly && arrows?.types?.includes(to) === true);
      if (!allowed) wrong.push(`${path} imports ${file}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("cli and app import from fuse only what mounting and unmounting need, never the protocol", () => {
  const taken = importers((file) => file?.startsWith("src/fuse/") === true).filter(({ path }) =>
    /^src\/(cli|app)\//.test(path),
  );
  expect(taken.filter(({ file }) => file?.startsWith("src/fuse/mounting/") !== true)).toEqual([]);
});

test("no folder of src has more than fourteen files", () => {
  const counts = new Map<string, number>();
  for (const { path } of sources) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  expect([...counts].filter(([, count]) => count > 14)).toEqual([]);
});

/** A directory has inodes, and an inode is in a directory: these import each other, and nothing else may. */
const INODE_CLASSES = ["dentries", "device-node", "directory", "file", "inode", "symlink"].map(
  (name) => `src/tree/${name}.ts`,
);

test("imports form no cycle, type imports included, except between the inode classes", () => {
  const within = (...paths: readonly string[]) => paths.every((path) => INODE_CLASSES.includes(path));
  const next = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.flatMap(({ file, typeOnly }) => (file && !(typeOnly && within(path, file)) ? [file] : [])),
    ]),
  );
  const done = new Set<string>();
  const circles: string[] = [];
  function visit(path: string, trail: readonly string[]): void {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    if (done.has(path) || trail.includes(path)) return;
    for (const file of next.get(path) ?? []) visit(file, [...trail, path]);
    done.add(path);
  }
  for (const { path } of sources) visit(path, []);
  expect(circles).toEqual([]);
});

test("each restricted module is imported by its one permitted file only", () => {
  const doors: readonly (readonly [string, string])[] = [
    ["bun:ffi", "src/libc.ts"],
    ["openai", "src/llm/openai.ts"],
    ["citty", "src/cli/"],
    ["tar-stream", "src/disk/tar-format.ts"],
    ["consola", "src/log.ts"],
    ["rotating-file-stream", "src/log-file.ts"],
  ];
  const wrong: string[] = [];
  for (const [name, door] of doors) {
    for (const { path, imports } of sources) {
      const uses = imports.some((used) => used.name === name || used.name.startsWith(`${name}/`));
      if (uses && !path.startsWith(door)) wrong.push(`${path} imports ${name}; ${door} is its door`);
    }
  }
  expect(wrong).toEqual([]);
});

test("only app/settings reads the environment: settings.ts, companions.ts for programs beside llmfs, proxies.ts for the runtime", () => {
  const uses = /\b(?:process|Bun)\.env\b|import\.meta\.env|\{[^}]*\benv\b[^}]*\} = process\b/;
  const readers = sources.filter(({ text }) => uses.test(code(text)));
  expect(readers.map(({ path }) => path)).toEqual([
    "src/app/settings/companions.ts",
    "src/app/settings/proxies.ts",
    "src/app/settings/settings.ts",
  ]);
});

test("only app/machine/current-directory.ts resolves a path from the current directory, which may not exist", () => {
  const resolvers = sources.filter(({ path, text }) => {
    const resolves = /import \{[^}]*\bresolve\b[^}]*\} from "node:path"/.test(text);
    return /\bprocess\.cwd\(/.test(code(text)) || (resolves && /^src\/(cli|app)\//.test(path));
  });
  expect(resolvers.map(({ path }) => path)).toEqual(["src/app/machine/current-directory.ts"]);
});

test("only main.ts ends the process", () => {
  const enders = sources.filter(({ text }) => /\bprocess\.(?:exit|abort|exitCode)\b/.test(code(text)));
  expect(enders.map(({ path }) => path)).toEqual(["src/main.ts"]);
});

/** `--version` loads nothing else. What it writes is a constant. */
const SHOWS_VERSION = "src/cli/version.ts";

test("only cli/output/terminal.ts writes to standard output and standard error", () => {
  const writes = [
    /\bconsole\.\w+\(/,
    /(?<![#.])\b(?:process|Bun)\.std(?:out|err)\b/,
    /\bwriteSync\(/,
    /\b(?:write|writev|pwrite|writeFile|writeFileSync|appendFileSync)\([12],/,
    /\bfd: [12]\b/,
  ];
  const opens = /["'`]\/dev\/(?:tty|std|fd|pts|console)/;
  const writers = sources.filter(({ text }) => opens.test(text) || writes.some((one) => one.test(code(text))));
  expect(writers.map(({ path }) => path)).toEqual(["src/cli/output/terminal.ts", SHOWS_VERSION]);
});

test("only the log writes to its file", () => {
  const users = new Set(importers((file) => file === "src/log-file.ts").map(({ path }) => path));
  expect([...users]).toEqual(["src/log.ts"]);
});

test("only programs of the user, and llmfs itself, are started with llmfs's own terminal", () => {
  const users = sources.filter(({ text }) => /["']inherit["']/.test(text));
  expect(users.map(({ path }) => path)).toEqual([
    "src/cli/commands/mounts/run.ts",
    "src/cli/commands/program/demo.ts",
    "src/cli/process/launcher.ts",
    "src/cli/process/namespace.ts",
    "src/cli/process/run-without-mount.ts",
  ]);
});

test("only attributes.ts contains the names of attributes, of the control directory and of the model's generator", () => {
  const names = /user\.llmfs\.|(?<!\w)\.llmfs(?!\w)|"llm"/;
  // As the tag of a log line it is another name.
  const isTag = (line: string) => /\b(?:notice|write|withTag)\(.*"llm"/.test(line);
  const writers = sources.flatMap(({ path, text }) => {
    const lines = withoutComments(text).split("\n");
    return lines.filter((line) => names.test(line) && !isTag(line)).map((line) => `${path}: ${line.trim()}`);
  });
  expect(writers.filter((line) => !line.startsWith("src/attributes.ts:"))).toEqual([]);
});

test("the filesystem thread never awaits", () => {
  const waiting = sources.filter(
    ({ path, text }) =>
      (/^src\/(fs|tree)\//.test(path) || dirname(path) === "src/fuse") && /\basync\b|\bawait\b/.test(code(text)),
  );
  expect(waiting.map(({ path }) => path)).toEqual([]);
});

/** Shared by all trees of a process, because it tells nothing about any of them. */
const SHARED_STATE = [
  "src/fs/control/channel.ts: lastName", // Numbers that are used once.
  "src/fs/lazy/freshness.ts: order", // The same.
  "src/fs/permissions/groups.ts: users", // A cache of /etc/passwd and /etc/group.
  "src/tree/inode.ts: watchers", // An inode does not know its tree. A watcher ignores other trees.
];

test("what changes belongs to a tree or a mount, so that two of them in one process share nothing", () => {
  const state = /^(?:export )?(?:let (\w+)|const (\w+)(?:: [^=]+)? = new (?:Map|Set|LRUCache)(?:<.*>)?\((?:\)|\{))/gm;
  const found = sources.flatMap(({ path, text }) =>
    /^src\/(fs|tree|snapshot|offline)\//.test(path)
      ? [...text.matchAll(state)].map(([, variable, constant]) => `${path}: ${variable ?? constant}`)
      : [],
  );
  expect(found).toEqual(SHARED_STATE);
});

test("there are no default exports", () => {
  expect(sources.filter(({ text }) => /^export default/m.test(text)).map(({ path }) => path)).toEqual([]);
});

test("relative imports include the file extension", () => {
  const bare = sources.flatMap(({ path, imports }) =>
    imports.flatMap(({ name, file }) => (file && !/\.(ts|json)$/.test(name) ? [`${path}: ${name}`] : [])),
  );
  expect(bare).toEqual([]);
});

test("no file has a vague name such as utils", () => {
  const vague = sources.filter(({ path }) => /\/(utils?|helpers|types|common|manager|misc)\.ts$/.test(path));
  expect(vague.map(({ path }) => path)).toEqual([]);
});

test("files are short enough to be read in one sitting", () => {
  const long = sources.flatMap(({ path, text }) => {
    const lines = text.split("\n").length;
    return lines > 400 && !TABLES.includes(path) ? [`${path}: ${lines} lines`] : [];
  });
  expect(long).toEqual([]);
});

test("there is no any, and no non-null assertion", () => {
  const loose = sources.flatMap(({ path, text }) =>
    [...code(text).matchAll(/(?:[:<,|]\s*any\b(?!\()|\bas any\b|[\w)\]]!(?:\.|\[|;|,|\)))/g)].map(
      ([match]) => `${path}: ${match}`,
    ),
  );
  expect(loose).toEqual([]);
});

function importers(match: (file: string | undefined) => boolean) {
  return sources.flatMap(({ path, imports }) =>
    imports.filter(({ file }) => match(file)).map(({ file }) => ({ path, file })),
  );
}

/** The text without comments and strings, approximately: enough to look for words in it. */
function code(text: string): string {
  return withoutComments(text)
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replace(/`(?:[^`\\]|\\.)*`/g, "``");
}

/** Approximately: the beginning of a comment inside a string counts as one if a blank precedes it. */
function withoutComments(text: string): string {
  return text.replace(/(^|\s)\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}
