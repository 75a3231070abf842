/** Programs that a mount treats in a special way unless its settings say otherwise. */

/** Programs that rely on the size that stat(2) reports before they open a file: see docs/lazy-files.md. */
export const STAT_GENERATES = "git,cpio,busybox tar,busybox cpio";
