/**
 * Runs the unit tests: everything that needs no mount, no server and no built executable, and is quick.
 *
 *   npm run test:unit [-- ARGUMENT OF bun test…]
 *
 * The rule: a test file is a unit test unless it is in EXHAUSTIVE, or imports one of the modules in EXTERNAL, directly or
 * through other files of test/. Tests that need a mount, a server or the executable get it from one of those modules;
 * test/build/unit-tests.test.ts checks that no unit test starts its own.
 */
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "..");

/** Modules that start mounts, servers or the executable; and one test that mounts by itself. */
export const EXTERNAL: readonly string[] = [
  "test/support/program.ts",
  "test/support/openai-server.ts",
  "test/support/servers.ts",
  "test/support/databases.ts",
  "test/posix/ground.ts",
  "test/fuse/device.test.ts",
];

/** These try thousands of random inputs, or very long ones, and take most of the time of all unit tests. */
export const EXHAUSTIVE: readonly string[] = [
  "test/fs/fuzz.test.ts",
  "test/generate/linear.test.ts",
  "test/generate/redact-bounds.test.ts",
  "test/llm/linear.test.ts",
  "test/snapshot/hostile.test.ts",
  "test/snapshot/roundtrip.test.ts",
];

/** Test files, as paths from the root of the repository. */
export function unitTests(): string[] {
  const tests = [...new Glob("test/**/*.test.ts").scanSync(ROOT)].sort();
  return tests.filter((file) => {
    const imported = importsOf(file);
    return !EXHAUSTIVE.includes(file) && !EXTERNAL.some((module) => imported.has(module));
  });
}

const transpiler = new Bun.Transpiler({ loader: "ts" });

/** The file itself, and every file in test/ that it imports, except for types. */
export function importsOf(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const { path } of transpiler.scanImports(readFileSync(join(ROOT, file), "utf8"))) {
    const imported = normalize(join(dirname(file), path));
    if (path.startsWith(".") && imported.startsWith("test/") && imported.endsWith(".ts")) importsOf(imported, found);
  }
  return found;
}

if (import.meta.main) {
  const command = [process.execPath, "test", "--parallel", "--timeout", "30000", ...process.argv.slice(2)];
  const { exitCode } = Bun.spawnSync([...command, ...unitTests().map((file) => `./${file}`)], {
    cwd: ROOT,
    stdio: ["inherit", "inherit", "inherit"],
  });
  process.exitCode = exitCode;
}
