/** What each command loads before it does its work: it decides how long a user waits for it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "llmfs-start-"));
const mountpoint = join(folder, "mnt");
const list = join(folder, "modules");

/** Modules of the runtime that take longer to load than Bun takes to start, or a good part of it. */
const SLOW = ["child_process", "crypto", "fs/promises", "http", "https", "net", "stream", "tls", "tty", "url", "zlib"];

async function llmfs(...args: readonly string[]): Promise<void> {
  const child = Bun.spawn([process.execPath, join(ROOT, "src/main.ts"), ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      BUN_OPTIONS: `--preload ${join(ROOT, "test/support/list-modules.ts")}`,
      LLMFS_TEST_MODULES: list,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  expect(await child.exited).toBe(0);
}

/** The files that a process has loaded, by its first argument, relative to the root of the sources. */
function loadedBy(role: string): readonly string[] {
  const lines = readFileSync(list, "utf8").split("\n");
  const paths = lines.filter((line) => line.startsWith(`${role}\t`)).map((line) => line.slice(role.length + 1));
  return [...new Set(paths.map((path) => relative(ROOT, path)))];
}

/** The packages among them. */
function packagesOf(files: readonly string[]): readonly string[] {
  const names = files.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []);
  return [...new Set(names)].sort();
}

/** The modules of the runtime that our own files import statically. */
function runtimeModulesOf(files: readonly string[]): readonly string[] {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const imports = files
    .filter((file) => file.startsWith("src/"))
    .flatMap((file) => transpiler.scanImports(readFileSync(join(ROOT, file), "utf8")))
    .filter(({ kind, path }) => kind === "import-statement" && path.startsWith("node:"));
  return [...new Set(imports.map(({ path }) => path.slice("node:".length)))].sort();
}

/** What is loaded with static imports from this file on. */
function reachableFrom(entry: string): readonly string[] {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const found = new Set<string>();
  const visit = (file: string) => {
    if (found.has(file)) return;
    found.add(file);
    if (!file.endsWith(".ts")) return;
    for (const { kind, path } of transpiler.scanImports(readFileSync(join(ROOT, file), "utf8"))) {
      if (kind === "import-statement" && path.startsWith(".")) visit(join(file, "..", path));
    }
  };
  visit(entry);
  return [...found];
}

describe("each process loads only what it needs", () => {
  beforeAll(async () => {
    mkdirSync(mountpoint);
    await llmfs("--version");
    await llmfs("mount", mountpoint);
    await llmfs("list");
    // Another program may be looking at every mount at this moment.
    await llmfs("unmount", "--lazy", mountpoint);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("--version loads one file", () => {
    expect(loadedBy("--version")).toEqual(["src/main.ts", "src/cli/version.ts"]);
  });

  test("mount loads nothing of the filesystem, the model and the generators", () => {
    const files = loadedBy("mount");
    expect(packagesOf(files)).toEqual([]);
    expect(files.filter((file) => /^src\/(fs|tree|mount|rpc|offline|generate)\//.test(file))).toEqual([]);
    expect(runtimeModulesOf(files).filter((name) => SLOW.includes(name))).toEqual([]);
  });

  test("the process that serves a mount loads no client, no generator and no part of the runtime that is slow", () => {
    const files = loadedBy("--daemon");
    expect(files).toContain("src/mount/filesystem.ts");
    // What is loaded before the mount answers is reachable from these two; the log's stream is loaded afterwards.
    const early = [...reachableFrom("src/cli/process/serve.ts"), ...reachableFrom("src/mount/filesystem.ts")];
    expect(
      early.filter((file) => /^src\/(generators\/builtin|llm\/openai\.ts|recording\/stores\/folder\.ts)/.test(file)),
    ).toEqual([]);
    expect(runtimeModulesOf(early).filter((name) => SLOW.includes(name))).toEqual([]);
    expect(packagesOf(files)).toEqual(["consola", "rotating-file-stream"]);
    expect(files.filter((file) => /^src\/generate\/(context|structure)\//.test(file))).toEqual([]);
  });

  test("the filesystem thread and the guardian load no package", () => {
    for (const entry of ["src/fs/worker.ts", "src/fuse/mounting/guardian.ts"]) {
      const files = reachableFrom(entry);
      expect(packagesOf(files)).toEqual([]);
      expect(runtimeModulesOf(files).filter((name) => SLOW.includes(name))).toEqual([]);
    }
  });

  test("unmount and list load no package and no part of the filesystem", () => {
    for (const command of ["unmount", "list"]) {
      const files = loadedBy(command);
      expect(packagesOf(files)).toEqual([]);
      expect(
        files.filter((file) => /^src\/(fs|tree|mount|offline|generators\/builtin|generate\/context)\//.test(file)),
      ).toEqual([]);
    }
  });
});
