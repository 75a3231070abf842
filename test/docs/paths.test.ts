/** What documents for contributors say about the sources is there: every path, and every function of a diagram. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "../..");

/** Documents that name files of the repository. */
const GUIDES = ["CONTRIBUTING.md", "src/README.md", "docs/architecture.md"];

/** Every document for people. */
const DOCUMENTS = [
  ...new Glob("*.md").scanSync(ROOT),
  "src/README.md",
  ...[...new Glob("docs/*.md").scanSync(ROOT)].sort(),
];

describe.each(GUIDES)("%s", (document) => {
  const text = readFileSync(join(ROOT, document), "utf8");

  test("every path that the document names exists", () => {
    const paths = [...text.matchAll(/`([\w.<>/-]+)`/g)].map(([, path = ""]) => path).filter(isPath);
    expect(paths.filter((path) => !exists(path, document))).toEqual([]);
    expect(paths.length).toBeGreaterThan(10);
  });

  test("the functions in the document's diagrams are in the files that the diagrams name", () => {
    const steps = [...text.matchAll(/^ {2}(src\/\S+\.ts) +#?(\w+)/gm)];
    const wrong = steps.filter(([, path = "", name = ""]) => {
      const file = join(ROOT, path);
      return !existsSync(file) || !new RegExp(`\\b${name}\\b`).test(readFileSync(file, "utf8"));
    });
    expect(wrong.map(([line]) => line)).toEqual([]);
  });
});

test("the scripts that documents name are in package.json", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const named = DOCUMENTS.flatMap((document) => {
    const text = readFileSync(join(ROOT, document), "utf8");
    return [...text.matchAll(/(?:^|`|&& )npm run (?:--\S+ )*([\w:]+)/gm)].map(([, name = ""]) => name);
  });
  expect([...new Set(named)].filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
});

describe.each(DOCUMENTS)("%s", (document) => {
  const text = readFileSync(join(ROOT, document), "utf8");

  test("every link to another file leads to a file, and to a heading of it", () => {
    const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
      if (/^[a-z]+:/.test(target)) return [];
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? document : normalize(join(dirname(document), path));
      if (!existsSync(join(ROOT, file))) return [target];
      return anchor === undefined || anchors(file).includes(anchor) ? [] : [target];
    });
    expect(broken).toEqual([]);
  });
});

/** Neither a command, nor a path of the machine or of a mount. */
function isPath(text: string): boolean {
  if (text.startsWith("/") || text.startsWith(".llmfs") || text.startsWith("node_modules") || text.startsWith("dist")) {
    return false;
  }
  return text.includes("/") || /\.(?:ts|md|json|yml)$/.test(text);
}

/** Paths start at the root, in src/README.md at src. `<name>` stands for any name. */
function exists(path: string, document: string): boolean {
  const base = join(ROOT, document === "src/README.md" ? "src" : "");
  if (!path.includes("<")) return existsSync(join(base, path));
  return !new Glob(path.replace(/<\w+>/g, "*")).scanSync(base).next().done;
}

/** As GitHub makes them from headings. */
function anchors(file: string): string[] {
  const headings = [...readFileSync(join(ROOT, file), "utf8").matchAll(/^#+ (.+)$/gm)];
  return headings.map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
