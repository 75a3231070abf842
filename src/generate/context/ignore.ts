/**
 * Excludes files from requests: `.llmfsignore` in any directory, with the rules of .gitignore, and `.gitignore` itself.
 *
 * Even without such a file, the output of tools is excluded. Otherwise a build or a `git init` between two reads would
 * change the second request. A `!pattern` in `.llmfsignore` includes such files again.
 */
import { posix } from "node:path";
import { FsError } from "../../errno.ts";
import type { TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { Pace } from "../../text/pace.ts";
import { removeOutputs } from "./default-ignores.ts";
import { IgnoreRules, type IgnoreVerdict } from "./gitignore.ts";

export const IGNORE_FILE = ".llmfsignore";
/** Excludes like the default rules for outputs: not what is to be generated, and not what has a description. */
const GIT_IGNORE_FILE = ".gitignore";

const LEFT_BEHIND = [
  ...[".git/", ".hg/", ".svn/", ".jj/"],
  ...["node_modules/", ".venv/", "__pycache__/", "*.py[cod]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/"],
  ...["*.o", "*.a", "*.so", "*.class"],
  ...["*.sw[a-p]", "*~", ".#*", "#*#", ".DS_Store", ".nfs*", ".fuse_hidden*"],
];

const leftBehind = new IgnoreRules(LEFT_BEHIND.join("\n"));

/** A longer rule file is rejected, because files matched only by its last rules would be sent. */
const MAX_RULES = 256 * 1024;

/** The entries that may be sent, in the given order. Only static ignore files are used; none is generated for this. */
export async function filterVisible(
  outline: readonly TreeEntry[],
  readStatic: TreePort["readStatic"],
): Promise<readonly TreeEntry[]> {
  const known = seen.get(outline);
  const files = known?.files ?? outline.filter(isRuleFile).map(({ path }) => path);
  if (known !== undefined && files.length === 0) return known.found;
  const texts = new Map([["", LEFT_BEHIND.join("\n")]]);
  const gitTexts = new Map<string, string>();
  for (const path of files) {
    const bytes = await readStatic(path, MAX_RULES + 1);
    if (bytes !== undefined && bytes.length > MAX_RULES) {
      throw new FsError(
        "EIO",
        `${path} has more than ${MAX_RULES} bytes of rules; shorten it, or split it by directory`,
      );
    }
    const text = bytes === undefined ? "" : new TextDecoder().decode(bytes);
    const folder = parentOf(path);
    const among = path.endsWith(`/${GIT_IGNORE_FILE}`) ? gitTexts : texts;
    among.set(folder, `${among.get(folder) ?? ""}\n${text}`);
  }
  // The content of a rule file may change while the list stays the same.
  const said = [...texts.values(), "", ...gitTexts.values()].join("\0");
  const now = seen.get(outline);
  if (now?.said === said) return now.found;
  const found = filterAllowed(outline, compile(texts), compile(gitTexts));
  const entry: Seen = { files, said, found };
  seen.set(outline, entry);
  entry.list = await found;
  return found;
}

/** The same at once; undefined if it must be computed first, or rule files have to be read. */
export function filterVisibleAtOnce(outline: readonly TreeEntry[]): readonly TreeEntry[] | undefined {
  const known = seen.get(outline);
  return known?.files.length === 0 ? known.list : undefined;
}

/** Returns a function that tells whether a path, after following symlinks, is in the tree but not visible. */
export function createHiddenCheck(
  outline: readonly TreeEntry[],
  seen: readonly TreeEntry[],
): (path: string) => boolean {
  const known = hiding.get(seen);
  if (known?.outline === outline) return known.hides;
  const all = new Map(outline.map((entry) => [entry.path, entry]));
  const visible = new Set(seen.map(({ path }) => path));
  const isHidden = (path: string, links: number): boolean => {
    let at = "";
    for (const name of path.split("/").slice(1)) {
      at += `/${name}`;
      const entry = all.get(at);
      if (entry === undefined) return false;
      if (!visible.has(at)) return true;
      if (entry.type !== "symlink" || entry.target === undefined) continue;
      return (
        links < MAX_SYMLINKS &&
        isHidden(posix.resolve(parentOf(at) || "/", entry.target, path.slice(at.length + 1)), links + 1)
      );
    }
    return false;
  };
  const hides = (path: string) => isHidden(path, 0);
  hiding.set(seen, { outline, hides });
  return hides;
}

/** Cached, because the same lists are used for many files. */
const hiding = new WeakMap<readonly TreeEntry[], { outline: readonly TreeEntry[]; hides: (path: string) => boolean }>();

/** As in fs/namei.c. */
const MAX_SYMLINKS = 40;

interface Seen {
  /** The rule files and their contents. */
  readonly files: readonly string[];
  readonly said: string;
  readonly found: Promise<readonly TreeEntry[]>;
  /** The same, once it is there. */
  list?: readonly TreeEntry[];
}

/** The visible part of a list. Cached, because the same list is used for many files. */
const seen = new WeakMap<readonly TreeEntry[], Seen>();

/** Rules in directories such as node_modules, of which there may be thousands, exclude nothing that is visible. */
function isRuleFile({ path, type }: TreeEntry): boolean {
  if (type !== "file") return false;
  return (
    path.endsWith(`/${IGNORE_FILE}`) ||
    (path.endsWith(`/${GIT_IGNORE_FILE}`) && !leftBehind.excludes(path.slice(1), false))
  );
}

/** Rules by the directory of their file. */
type RulesByFolder = ReadonlyMap<string, IgnoreRules>;

function compile(texts: ReadonlyMap<string, string>): RulesByFolder {
  return new Map([...texts].map(([folder, text]) => [folder, new IgnoreRules(text)]));
}

async function filterAllowed(
  outline: readonly TreeEntry[],
  rules: RulesByFolder,
  gitRules: RulesByFolder,
): Promise<readonly TreeEntry[]> {
  const isHidden = createExclusion(rules);
  const kept: TreeEntry[] = [];
  const pace = new Pace();
  for (const entry of outline) {
    const { path, type } = entry;
    if (!path.endsWith(`/${IGNORE_FILE}`) && !isHidden(stripRootSlash(path), type === "directory")) kept.push(entry);
    if (pace.due) await pace.pause();
  }
  const isIncludedAgain = (path: string) => {
    for (let at = path, directory = false; at !== ""; at = parentOf(at), directory = true)
      if (findRuling(at, directory, rules) === "in") return true;
    return false;
  };
  return removeOutputs(kept, gitRules.size === 0 ? () => false : createExclusion(gitRules), isIncludedAgain);
}

/** Returns a function that tells whether a path, or a directory above it, is excluded. */
function createExclusion(rules: RulesByFolder): (path: string, directory: boolean) => boolean {
  const verdicts = new Map<string, boolean>([["", false]]);
  const isExcluded = (path: string, directory: boolean): boolean => {
    const known = directory ? verdicts.get(path) : undefined;
    if (known !== undefined) return known;
    const verdict = isExcluded(parentOf(path), true) || findRuling(path, directory, rules) === "out";
    if (directory) verdicts.set(path, verdict);
    return verdict;
  };
  return isExcluded;
}

/** The nearest matching rule decides, as in git. */
function findRuling(path: string, directory: boolean, rules: RulesByFolder): IgnoreVerdict | undefined {
  for (let folder = path; folder !== ""; ) {
    folder = parentOf(folder);
    const verdict = rules.get(folder)?.decide(path.slice(folder.length + 1), directory);
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}

/** "" for entries of the root. */
function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** The root itself is "". */
function stripRootSlash(path: string): string {
  return path === "/" ? "" : path;
}
