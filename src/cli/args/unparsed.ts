/** Questions that are asked about a command line before it is parsed. Every start loads this file, so it imports nothing. */

/** Whether this process itself will serve a mount, not a daemon that it starts. */
export function servesItself([command, ...others]: readonly string[]): boolean {
  const own = beforeSeparator(others);
  if (command === "run") return !own.some((word) => /^--(no-mount|help)$/.test(word));
  return command === "mount" && own.some((word) => /^(-[^-]*f|--foreground$)/.test(word));
}

export function asksForHelp(argv: readonly string[]): boolean {
  const own = beforeSeparator(argv);
  return own.includes("--help") || own.includes("-h");
}

/** The arguments of llmfs: those after `--` belong to another program, or are no flags. */
function beforeSeparator(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf("--");
  return end < 0 ? argv : argv.slice(0, end);
}
