/**
 * Runs test files four at a time, the slowest first, and those that fail once more, alone:
 *
 *   bun build/ci-tests.ts [--again] [--update-timings] [FOLDER…]
 *
 * `--again` is for another user: it leaves out the files of ONCE. `--update-timings` notes how long each file took.
 *
 * A test that waits for a real kernel, a real server and other processes may run out of time on a busy machine. A file
 * that passes alone counts as passed, and is listed at the end, so that it can be fixed. The last lines are the sums,
 * in the words of `bun test`: `N pass`, `N fail`, `N skip`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Glob } from "bun";

/** If more files than this fail, the cause is not a busy machine. */
const AGAIN_AT_MOST = 12;

/** How long each file takes, in milliseconds. Bun starts files that are not in it first. */
const TIMINGS = "build/test-timings.json";

/** What these files show does not depend on who mounts, or they mount nothing. */
const ONCE: readonly string[] = [
  "test/cli/escapes.test.ts",
  "test/cli/generate.test.ts",
  "test/cli/recordings.test.ts",
  "test/mount/errors.test.ts",
  "test/mount/fleet.test.ts",
  "test/mount/matrix.test.ts",
  "test/mount/outages.test.ts",
  "test/mount/outdated.test.ts",
  "test/mount/store-status.test.ts",
];

interface Sums {
  readonly tests: number;
  readonly failures: number;
  readonly skipped: number;
}

const { values: options, positionals: folders } = parseArgs({
  options: { again: { type: "boolean", default: false }, "update-timings": { type: "boolean", default: false } },
  allowPositionals: true,
});
const gone = ONCE.filter((file) => !existsSync(file));
if (gone.length > 0) throw new Error(`ONCE in build/ci-tests.ts names files that do not exist: ${gone.join(", ")}`);
const files = (folders.length > 0 ? folders : ["test"])
  .flatMap((folder) => [...new Glob(`${folder}/**/*.test.ts`).scanSync(".")])
  .filter((file) => !options.again || !ONCE.includes(file))
  .sort();
const reports = mkdtempSync(join(tmpdir(), "llmfs-ci-"));

const together = await run("together.xml", files, [
  "--parallel=4",
  `--timings=${TIMINGS}`,
  ...(options["update-timings"] ? ["--update-timings"] : []),
]);
const failed = files.filter((file) => (together.get(file)?.failures ?? 1) > 0);
let alone = new Map<string, Sums>();
if (failed.length > 0 && failed.length <= AGAIN_AT_MOST) {
  console.log(`\nthese files failed, and are run again, alone:\n  ${failed.join("\n  ")}\n`);
  alone = await run("alone.xml", failed, []);
}
rmSync(reports, { recursive: true, force: true });

const sums = { pass: 0, fail: 0, skip: 0 };
for (const file of files) {
  // A file that ended its process, or could not be loaded, has no sums.
  const found = alone.get(file) ?? together.get(file) ?? { tests: 1, failures: 1, skipped: 0 };
  sums.pass += found.tests - found.failures - found.skipped;
  sums.fail += found.failures;
  sums.skip += found.skipped;
}
const mended = failed.filter((file) => alone.get(file)?.failures === 0);
if (mended.length > 0) console.log(`\npassed only when run alone:\n  ${mended.join("\n  ")}`);
console.log(`\n ${sums.pass} pass\n ${sums.skip} skip\n ${sums.fail} fail`);
process.exit(sums.fail === 0 ? 0 : 1);

/** The sums of each file that ran to its end. */
async function run(name: string, tests: readonly string[], flags: readonly string[]): Promise<Map<string, Sums>> {
  const report = join(reports, name);
  const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
  const child = Bun.spawn([process.execPath, "test", "--timeout", "60000", ...flags, ...reporter, ...tests], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  await child.exited;
  const found = new Map<string, Sums>();
  // Each file's own suite has a file and no line.
  for (const [, attributes = ""] of readFileSync(report, "utf8").matchAll(/<testsuite ([^>]*)>/g)) {
    const { file, tests, failures, skipped, line } = Object.fromEntries(
      [...attributes.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = "", value = ""]) => [key, value]),
    );
    if (file === undefined || line !== undefined) continue;
    found.set(file, { tests: Number(tests), failures: Number(failures), skipped: Number(skipped) });
  }
  return found;
}
