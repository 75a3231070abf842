/**
 * Names that programs look up or create for themselves: version control, editors, file managers and the kernel. Looking one
 * up is not a request for content, so no generator is asked about it.
 */

/** Folders, and everything below them. */
const FOLDERS: ReadonlySet<string> = new Set([".git", ".hg", ".svn", ".bzr", ".jj"]);

const NAMES: readonly RegExp[] = [
  // vim: swap files, undo files, and the file with which it tries to write.
  /^\..*\.sw[a-z]$/,
  /^\..*\.un~$/,
  /^4913$/,
  // Backups of the previous version by emacs, nano and other editors.
  /^\.#/,
  /^#.*#$/,
  /~$/,
  /^\.~lock\..*#$/,
  // File managers and removable media.
  /^\.(?:DS_Store|directory|hidden|Trash(?:-\d+)?|xdg-volume-info|localized)$/,
  /^\._/,
  /^(?:autorun\.inf|desktop\.ini|Thumbs\.db)$/i,
  // A file that was removed while it was open.
  /^\.(?:fuse_hidden|nfs[0-9a-f]{8})/,
];

/** Whether a path below the root of the mount has such a name. */
export function isInternal(path: string): boolean {
  const names = path.split("/");
  return names.some((name) => FOLDERS.has(name)) || NAMES.some((pattern) => pattern.test(names.at(-1) ?? ""));
}
