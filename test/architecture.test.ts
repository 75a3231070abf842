/** The conventions, held by reading the sources. Each test says the rule; the message names who breaks it. */
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
  /** As written: "./tree.ts", "openai". */
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

/** What each part may know. All know LEAVES, which know nobody else. A part in `types` it knows by type only. */
const ARROWS: Readonly<Record<string, { readonly may: readonly string[]; readonly types?: readonly string[] }>> = {
  "main.ts": { may: ["cli", "fuse", "generators"] },
  cli: { may: ["fs", "fuse", "generate", "generators", "llm", "log.ts", "recording", "snapshot"] },
  fs: { may: ["fuse", "tree", "snapshot"], types: ["generators"] },
  generate: { may: ["generators", "llm", "recording"], types: ["fs"] },
  generators: { may: ["llm", "fuse"] },
  snapshot: { may: ["tree"] },
  recording: { may: ["llm"] },
  fuse: { may: [] },
  tree: { may: [] },
  llm: { may: [] },
  "log.ts": { may: ["logfile.ts"] },
  "logfile.ts": { may: [] },
  "libc.ts": { may: [] },
  "boundedread.ts": { may: [] },
  "errno.ts": { may: [] },
  "index.ts": { may: ["generators"] },
  "wide.ts": { may: [] },
  "nearest.ts": { may: [] },
  "pace.ts": { may: [] },
  "pathpattern.ts": { may: [] },
  "printable.ts": { may: [] },
  "procfs.ts": { may: [] },
  "trailing.ts": { may: [] },
};

/** Lists of what the kernel has; they are as long as it is. */
const TABLES = ["src/fuse/abi.ts", "src/fuse/ops.ts", "src/libc.ts"];

const LEAVES = [
  "boundedread.ts",
  "errno.ts",
  "libc.ts",
  "nearest.ts",
  "pace.ts",
  "pathpattern.ts",
  "printable.ts",
  "procfs.ts",
  "trailing.ts",
  "wide.ts",
];

test("every part of src has its place in the arrows", () => {
  expect([...new Set(sources.map(({ path }) => area(path)))].filter((part) => !Object.hasOwn(ARROWS, part))).toEqual(
    [],
  );
});

test("imports follow the arrows", () => {
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

test("cli takes from fuse only what is or can be mounted where, which process is which, and the words for failures", () => {
  const taken = importers((file) => file?.startsWith("src/fuse/") === true).filter(({ path }) =>
    path.startsWith("src/cli/"),
  );
  const allowed = [
    "src/fuse/helper.ts",
    "src/fuse/inside-mount.ts",
    "src/fuse/mountinfo.ts",
    "src/fuse/mountpoint.ts",
    "src/fuse/process.ts",
    "src/fuse/unmount.ts",
  ];
  expect(taken.filter(({ file }) => !allowed.includes(file ?? "")).map(({ path, file }) => `${path}: ${file}`)).toEqual(
    [],
  );
});

test("generators take from fuse only what is mounted where", () => {
  const taken = importers((file) => file?.startsWith("src/fuse/") === true).filter(({ path }) =>
    path.startsWith("src/generators/"),
  );
  expect([...new Set(taken.map(({ file }) => file))].sort()).toEqual([
    "src/fuse/inside-mount.ts",
    "src/fuse/mountinfo.ts",
  ]);
});

test("imports go in no circle", () => {
  const next = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.flatMap(({ file, typeOnly }) => (file && !typeOnly ? [file] : [])),
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

test("one file imports what must stay behind one door", () => {
  const doors: readonly (readonly [string, string])[] = [
    ["bun:ffi", "src/libc.ts"],
    ["openai", "src/llm/openai.ts"],
    ["citty", "src/cli/"],
    ["consola", "src/log.ts"],
    ["rotating-file-stream", "src/logfile.ts"],
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

test("only cli/config.ts reads the environment, and cli/proxies.ts what the runtime itself goes by", () => {
  const uses = /\b(?:process|Bun)\.env\b|import\.meta\.env|\{[^}]*\benv\b[^}]*\} = process\b/;
  const readers = sources.filter(({ text }) => uses.test(code(text)));
  expect(readers.map(({ path }) => path)).toEqual(["src/cli/config.ts", "src/cli/proxies.ts"]);
});

test("only cli/cwd.ts resolves a path from the current directory, which may not exist", () => {
  const resolvers = sources.filter(({ path, text }) => {
    const resolves = /import \{[^}]*\bresolve\b[^}]*\} from "node:path"/.test(text);
    return /\bprocess\.cwd\(/.test(code(text)) || (resolves && path.startsWith("src/cli/"));
  });
  expect(resolvers.map(({ path }) => path)).toEqual(["src/cli/cwd.ts"]);
});

test("only main.ts ends the process", () => {
  const enders = sources.filter(({ text }) => /\bprocess\.(?:exit|abort|exitCode)\b/.test(code(text)));
  expect(enders.map(({ path }) => path)).toEqual(["src/main.ts"]);
});

test("only cli/terminal.ts writes to standard output and error", () => {
  const writes = [
    /\bconsole\.\w+\(/,
    /(?<![#.])\b(?:process|Bun)\.std(?:out|err)\b/,
    /\bwriteSync\(/,
    /\b(?:write|writev|pwrite|writeFile|writeFileSync|appendFileSync)\([12],/,
    /\bfd: [12]\b/,
  ];
  const opens = /["'`]\/dev\/(?:tty|std|fd|pts|console)/;
  const writers = sources.filter(({ text }) => opens.test(text) || writes.some((one) => one.test(code(text))));
  expect(writers.map(({ path }) => path)).toEqual(["src/cli/terminal.ts"]);
});

test("only the log writes its file", () => {
  const users = new Set(importers((file) => file === "src/logfile.ts").map(({ path }) => path));
  expect([...users]).toEqual(["src/log.ts"]);
});

test("programs write to llmfs's own terminal only where they are the user's, or llmfs itself", () => {
  const users = sources.filter(({ text }) => /["']inherit["']/.test(text));
  expect(users.map(({ path }) => path)).toEqual([
    "src/cli/background.ts",
    "src/cli/commands/demo.ts",
    "src/cli/commands/run.ts",
    "src/cli/namespace.ts",
  ]);
});

test("tree, and what answers the kernel, never wait", () => {
  const waiting = sources.filter(
    ({ path, text }) => path.startsWith("src/tree/") && /\basync\b|\bawait\b/.test(code(text)),
  );
  expect(waiting.map(({ path }) => path)).toEqual([]);
});

test("nothing is exported as default", () => {
  expect(sources.filter(({ text }) => /^export default/m.test(text)).map(({ path }) => path)).toEqual([]);
});

test("a relative import names the file with its ending", () => {
  const bare = sources.flatMap(({ path, imports }) =>
    imports.flatMap(({ name, file }) => (file && !/\.(ts|json)$/.test(name) ? [`${path}: ${name}`] : [])),
  );
  expect(bare).toEqual([]);
});

test("no file is called after what it is not about", () => {
  const vague = sources.filter(({ path }) => /\/(utils?|helpers|types|common|manager|misc)\.ts$/.test(path));
  expect(vague.map(({ path }) => path)).toEqual([]);
});

test("files are short enough to be read at a sitting", () => {
  const long = sources.flatMap(({ path, text }) => {
    const lines = text.split("\n").length;
    return lines > 400 && !TABLES.includes(path) ? [`${path}: ${lines} lines`] : [];
  });
  expect(long).toEqual([]);
});

test("no any, and no non-null assertion", () => {
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

/** The text without comments and strings, roughly: enough to look for words in it. */
function code(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "")
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replace(/`(?:[^`\\]|\\.)*`/g, "``");
}
