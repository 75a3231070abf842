/**
 * The commands of git that ask for the sizes of files without reading them. They include what prompts and editors run in
 * the background, and what replaces or removes files anyway. All others, and aliases, read what they ask about.
 */
const LOOKING: ReadonlySet<string> = new Set([
  "status",
  "ls-files",
  "ls-tree",
  "log",
  "show",
  "show-ref",
  "rev-parse",
  "rev-list",
  "describe",
  "branch",
  "tag",
  "remote",
  "config",
  "var",
  "version",
  "help",
  "init",
  "clone",
  "fetch",
  "checkout",
  "switch",
  "restore",
  "reset",
  "read-tree",
  "checkout-index",
  "sparse-checkout",
  "clean",
  "rm",
  "mv",
  "worktree",
  "check-ignore",
  "check-attr",
  "symbolic-ref",
  "for-each-ref",
  "cat-file",
  "diff-tree",
  "fsmonitor--daemon",
  "maintenance",
  "gc",
  "prune",
  "repack",
  "fsck",
  "credential",
]);

/** `options`: the arguments after the command. */
export function isLookingCommand(command: string | undefined, options: readonly (string | undefined)[]): boolean {
  if (command === undefined || LOOKING.has(command)) return true;
  // What __git_ps1 of the shells' prompts runs. It compares sizes only.
  return command === "diff" && (options.includes("--quiet") || options.includes("--cached"));
}
