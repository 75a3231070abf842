import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openaiServer } from "../support/openai-server.ts";
import { Sandbox } from "../support/program.ts";

/*
 * The keys of a fixed list of requests, in request-keys.json. A key that changes makes every recording of that request
 * useless to the people who committed it, so it may change only on purpose. To accept a change: delete the file, run this
 * test, and say in the commit why the recordings had to be given up.
 */
const EXPECTED = join(import.meta.dir, "request-keys.json");

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

const LAYOUT = JSON.stringify({
  directories: [{ path: "src" }],
  files: [
    { path: "README.md", description: "what it is about" },
    { path: "src/tides.py", description: "predicts tides" },
  ],
  symlinks: [{ path: "LATEST", target: "src/tides.py" }],
  unfinished: [{ path: "data", brief: "three harbours", files: 3 }],
});
const PART = JSON.stringify({
  directories: [],
  files: [{ path: "data/ellery.csv", description: "heights at Port Ellery" }],
  symlinks: [],
  unfinished: [],
});

const llm = (more: object = {}) => ({ "user.llmfs.generator": "llm", ...more });
const pending = (path: string, xattrs: object = {}) => ({ path, type: "file", state: "pending", xattrs: llm(xattrs) });
const text = (path: string, content: string) => ({ path, type: "file", text: content });

/** Trees that use everything that goes into a request: prompts, models, references, outlines, redaction, ignore rules. */
const TREES: Readonly<Record<string, readonly object[]>> = {
  prompts: [
    { path: "/", type: "directory", xattrs: { "user.llmfs.prompt": "Plain words." } },
    {
      path: "/src",
      type: "directory",
      xattrs: { "user.llmfs.prompt": "Python 3.12.", "user.llmfs.model": "big", "user.llmfs.temperature": "0.2" },
    },
    pending("/README.md", { "user.llmfs.description": "an introduction" }),
    pending("/src/a.py", { "user.llmfs.description": "reads README.md", "user.llmfs.prompt": "No classes." }),
    pending("/src/b.py", { "user.llmfs.seed": "7", "user.llmfs.max-tokens": "500" }),
  ],
  references: [
    text("/NOTES.md", "# Tides\n\nHigh water comes twice a day. See src/model.ts.\n"),
    text("/package.json", '{ "name": "tides", "type": "module" }\n'),
    text("/src/model.ts", 'import { port } from "./port.ts";\nexport const height = (hours: number) => port(hours);\n'),
    text("/src/port.ts", "export const port = (hours: number) => hours * 2;\n"),
    text("/src/far/away.txt", "nothing to do with it\n"),
    { path: "/link", type: "symlink", target: "src/model.ts" },
    pending("/src/main.ts", { "user.llmfs.description": "prints what src/model.ts predicts" }),
    pending("/test/model.test.ts", { "user.llmfs.description": "tests ../src/model.ts" }),
    pending("/docs/päge.md", { "user.llmfs.description": "Grüße, 日本語 and 🌊" }),
  ],
  dependencies: [
    pending("/a.md", { "user.llmfs.description": "first" }),
    pending("/b.md", { "user.llmfs.depends": "a.md" }),
    pending("/c.md", { "user.llmfs.depends": "a.md\nb.md" }),
  ],
  hidden: [
    text("/.llmfsignore", "*.bin\nprivate/\n"),
    text("/private/plan.txt", "do not show this\n"),
    text("/data.bin", "0101\n"),
    text("/dist/out.js", "compiled();\n"),
    text("/.env", "PASSWORD=hunter2hunter2\n"),
    text("/notes.txt", "token: ghp_0123456789abcdefghijklmnopqrstuvwxyz\nfine: yes\n"),
    pending("/report.md", { "user.llmfs.description": "a report on notes.txt" }),
  ],
  large: [
    text("/long.txt", Array.from({ length: 4000 }, (_, line) => `line ${line} of a long text`).join("\n")),
    ...Array.from({ length: 400 }, (_, at) => text(`/many/dir${at % 20}/file${at}.txt`, `${at}\n`)),
    pending("/many/summary.md", { "user.llmfs.description": "what long.txt says" }),
  ],
};

/** The entries, each after its parent directories. */
function withDirectories(entries: readonly object[]): readonly object[] {
  const all = new Map<string, object>(entries.map((entry) => ["path" in entry ? String(entry.path) : "", entry]));
  for (const path of [...all.keys()]) {
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      const parent = path.slice(0, at);
      if (!all.has(parent)) all.set(parent, { path: parent, type: "directory" });
    }
  }
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}

/** The recordings in a folder: for each path or part, the key of its request. */
function keys(folder: string): Record<string, string> {
  const found: [string, string][] = [];
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    if (!name.endsWith(".txt")) continue;
    const head = readFileSync(join(folder, name), "utf8");
    const key = /^key: (.*)$/m.exec(head)?.[1] ?? "";
    found.push([`${/^for: (.*)$/m.exec(head)?.[1]}`, key]);
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

test("requests keep the keys that they had in earlier releases", async () => {
  await using server = await openaiServer([
    ({ body }) => {
      const asked = JSON.stringify(body.messages);
      if (!asked.includes("unfinished")) return { stream: "content\n" };
      return { stream: asked.includes("content of one directory only") ? PART : LAYOUT };
    },
  ]);
  const env = { OPENAI_BASE_URL: server.baseUrl, OPENAI_API_KEY: "sk-none", LLMFS_MODEL: "m" };
  const run = async (args: readonly string[]) => {
    const { status, stderr } = await sandbox.llmfs(args, { env });
    expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  };
  const all: Record<string, Record<string, string>> = {};
  await run(["generate", "--prompt", "a tide library", "--recordings", "layout", "-o", "layout.json"]);
  await run([
    "run",
    "--from",
    "layout.json",
    "--content-prompt",
    "be brief",
    "--warm",
    "--recordings",
    "layout",
    "--",
    "true",
  ]);
  all.layout = keys(sandbox.at("layout"));
  for (const [name, entries] of Object.entries(TREES)) {
    writeFileSync(sandbox.at(`${name}.json`), JSON.stringify({ llmfs: 1, entries: withDirectories(entries) }));
    await run(["run", "--from", `${name}.json`, "--warm", "--recordings", name, "--", "true"]);
    all[name] = keys(sandbox.at(name));
  }
  const json = `${JSON.stringify(all, undefined, 2)}\n`;
  if (!(await Bun.file(EXPECTED).exists())) writeFileSync(EXPECTED, json);
  expect(all).toEqual(JSON.parse(readFileSync(EXPECTED, "utf8")));
}, 120_000);
