/**
 * Which files a model never hears of: `.llmfsignore` in any directory, by the rules of .gitignore.
 *
 * Without any such file, what tools leave behind is kept out all the same: else a build or a `git init` between two
 * reads would change what the second file gets. A `!pattern` brings it back.
 */
import ignore, { type Ignore } from "ignore";
import type { TreePort } from "../fs/port.ts";
import type { TreeEntry } from "../generators/generator.ts";

export const IGNORE_FILE = ".llmfsignore";

const LEFT_BEHIND = [
  ...[".git/", ".hg/", ".svn/", ".jj/"],
  ...["node_modules/", ".venv/", "__pycache__/", "*.py[cod]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/"],
  ...["*.o", "*.a", "*.so", "*.class"],
  ...["*.sw[a-p]", "*~", ".#*", "#*#", ".DS_Store", ".nfs*", ".fuse_hidden*"],
];

const MAX_RULES = 256 * 1024;

/** The entries that may be sent, in the order given. Only static ignore files count; none is ever generated for this. */
export async function visible(
  outline: readonly TreeEntry[],
  readStatic: TreePort["readStatic"],
): Promise<readonly TreeEntry[]> {
  const known = withoutRules.get(outline);
  if (known !== undefined) return known;
  const rules = new Map<string, Ignore>([["", ignore({ ignorecase: false }).add(LEFT_BEHIND)]]);
  let any = false;
  for (const { path, type } of outline) {
    if (type !== "file" || !path.endsWith(`/${IGNORE_FILE}`)) continue;
    any = true;
    const bytes = await readStatic(path, MAX_RULES);
    if (bytes === undefined) continue;
    const folder = parentOf(path);
    rules.set(folder, (rules.get(folder) ?? ignore({ ignorecase: false })).add(new TextDecoder().decode(bytes)));
  }
  const found = allowed(outline, rules);
  // What a rule file says may change while the list stays the same.
  if (!any) withoutRules.set(outline, found);
  return found;
}

/** Lists in which no rule file is, and what of them is visible. */
const withoutRules = new WeakMap<readonly TreeEntry[], readonly TreeEntry[]>();

function allowed(outline: readonly TreeEntry[], rules: ReadonlyMap<string, Ignore>): readonly TreeEntry[] {
  /** Paths of directories and whether they are kept out. */
  const verdicts = new Map<string, boolean>([["", false]]);
  const hidden = (path: string, directory: boolean): boolean => {
    const known = directory ? verdicts.get(path) : undefined;
    if (known !== undefined) return known;
    const verdict = hidden(parentOf(path), true) || ruledOut(path, directory, rules);
    if (directory) verdicts.set(path, verdict);
    return verdict;
  };
  return outline.filter(
    ({ path, type }) => !path.endsWith(`/${IGNORE_FILE}`) && !hidden(rootless(path), type === "directory"),
  );
}

/** The nearest rule that says anything wins, as in git. */
function ruledOut(path: string, directory: boolean, rules: ReadonlyMap<string, Ignore>): boolean {
  for (let folder = path; folder !== ""; ) {
    folder = parentOf(folder);
    const below = path.slice(folder.length + 1);
    const verdict = rules.get(folder)?.test(directory ? `${below}/` : below);
    if (verdict?.ignored) return true;
    if (verdict?.unignored) return false;
  }
  return false;
}

/** "" for what lies in the root. */
function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** The root itself is "". */
function rootless(path: string): string {
  return path === "/" ? "" : path;
}
