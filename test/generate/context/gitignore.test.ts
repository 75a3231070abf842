/** The patterns of .gitignore: they match as in git, in bounded time for any pattern and path. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IgnoreRules } from "../../../src/generate/context/gitignore.ts";
import { filterVisible } from "../../../src/generate/context/ignore.ts";
import { expectLinear, repeated } from "../../support/growth.ts";
import { programs } from "../../support/needs.ts";
import { Random } from "../../support/random.ts";
import { treePort } from "../../support/tree-port.ts";

const NAMES = ["a", "b", "ab", "aa", "a.b", "foo", "fo[o]", "!a", "#a", "a b", "a ", "*", "A", "x-y", "[", "a\\b", "0"];

/** Directories and files, three levels deep. */
function paths(): readonly { readonly path: string; readonly directory: boolean }[] {
  const found: { path: string; directory: boolean }[] = [];
  for (const [index, name] of NAMES.entries()) {
    const directory = index % 2 === 0;
    found.push({ path: name, directory });
    if (!directory) continue;
    for (const [place, below] of NAMES.slice(0, 7).entries()) {
      const inner = place % 2 === 1;
      found.push({ path: `${name}/${below}`, directory: inner });
      if (inner)
        for (const last of ["a", "b", "foo"]) found.push({ path: `${name}/${below}/${last}`, directory: false });
    }
  }
  return found;
}

const PARTS = [
  ...["a", "b", "foo", "o", ".", "x", "A", "0", "*", "**", "***", "?", "/", "/", "**/", "/**", "[ab]", "[!a]", "[^b]"],
  ...[
    "[a-f]",
    "[]a]",
    "[[:alpha:]]",
    "[[:foo:]]",
    "[a",
    "[a-",
    "[\\]]",
    "[a/b]",
    "\\a",
    "\\*",
    "\\",
    " ",
    "\\ ",
    "!",
    "#",
    "-",
  ],
];

function randomRules(random: Random): string {
  const lines = Array.from({ length: 1 + random.below(4) }, () => {
    const parts = Array.from({ length: 1 + random.below(5) }, () => random.pick(PARTS)).join("");
    return `${random.chance(0.25) ? "!" : ""}${parts}${random.chance(0.2) ? "/" : ""}`;
  });
  return `${lines.join(random.chance(0.1) ? "\r\n" : "\n")}\n`;
}

const LACKS = programs("git");

describe.skipIf(LACKS !== undefined)("random patterns match the same paths as in git", () => {
  test("random patterns match the same paths of a tree as `git check-ignore`", () => {
    const folder = mkdtempSync(join(tmpdir(), "llmfs-gitignore-"));
    try {
      const git = (args: readonly string[], input = "") =>
        Bun.spawnSync(["git", "-c", "core.ignorecase=false", ...args], { cwd: folder, stdin: Buffer.from(input) });
      expect(git(["init", "-q"]).exitCode).toBe(0);
      const all = paths();
      for (const { path, directory } of all) {
        if (directory) mkdirSync(join(folder, path), { recursive: true });
        else writeFileSync(join(folder, path), "");
      }
      for (let seed = 0; seed < 300; seed++) {
        const text = randomRules(new Random(seed));
        writeFileSync(join(folder, ".gitignore"), text);
        const done = git(
          ["check-ignore", "-v", "-n", "-z", "--no-index", "--stdin"],
          all.map(({ path }) => path).join("\0"),
        );
        const fields = done.stdout.toString().split("\0");
        const rules = new IgnoreRules(text);
        const differing = all.filter(({ path, directory }, index) => {
          const [, , pattern = "", name] = fields.slice(index * 4, index * 4 + 4);
          expect(name).toBe(path);
          return rules.excludes(path, directory) !== (pattern !== "" && !pattern.startsWith("!"));
        });
        expect({ text, differing: differing.map(({ path }) => path) }).toEqual({ text, differing: [] });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("matching takes time linear in the pattern and the path", () => {
  const excludes = (pattern: string, path: string) => () => new IgnoreRules(pattern).excludes(path, false);

  test.each([
    ["many stars in a name", "*a".repeat(2000), `${"a".repeat(255)}b`],
    ["many stars and a text that begins again and again", `${"*aab".repeat(60)}x`, "aab".repeat(85)],
    ["many directories", `${"**/a/".repeat(500)}b`, `${"a/".repeat(1000)}c`],
    ["stars in every directory", `${"*a*/**/".repeat(200)}b`, `${"aaaa/".repeat(500)}c`],
    ["a class without an end", "[".repeat(50_000), "a"],
    ["classes", "[[:alpha:]]".repeat(20_000), "a".repeat(255)],
    ["backslashes", "\\".repeat(99_999), "a"],
    ["blanks", `a${" ".repeat(200_000)}b`, "a"],
  ])("%s", async (_name, pattern, path) => {
    const before = process.cpuUsage();
    excludes(pattern, path)();
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000);
  });

  test.each(["[", "*", "?", "**/", "a/", "\\", " ", "!", "#", "[a-", "[[:", "x\n", "*x\n", "[!a]\n", "/a/**\n"])(
    "a pattern of %j repeated is matched in linear time",
    (fragment) => expectLinear(repeated(fragment), (text) => new IgnoreRules(text).excludes("a/b/c.txt", false)),
  );
});

test("a rule file too long to be read whole is an error, because what it hides would be sent", async () => {
  const port = treePort({ "/.llmfsignore": `${"# a comment\n".repeat(30_000)}secret.txt\n`, "/secret.txt": "x" });
  await expect(filterVisible(await port.outline(), port.readStatic)).rejects.toThrow(
    "/.llmfsignore has more than 262144 bytes of rules",
  );
});

test("timers keep running while rules are applied to a large tree", async () => {
  const files = Array.from({ length: 3000 }, (_, index) => [`/directory/file${index}.txt`, ""] as const);
  const rules = Array.from({ length: 500 }, (_, index) => `*x${index}*y\n`).join("");
  const port = treePort({ "/.llmfsignore": rules, ...Object.fromEntries(files) });
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const outline = await port.outline();
  ticks = 0;
  await filterVisible(outline, port.readStatic);
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(0);
});
