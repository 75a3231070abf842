/** Programs that a mount treats in a special way unless its settings say otherwise. */

/** Programs that rely on the size that stat(2) reports before they open a file: see docs/lazy-files.md. */
export const STAT_GENERATES = "git,cpio,busybox tar,busybox cpio";

/**
 * Programs that read contents although nobody asked them to: indexers, thumbnailers, virus scanners, synchronizers and
 * backup tools. Others that walk through trees only list names or ask for attributes, which generates nothing: updatedb,
 * watchers, shell completion, file managers. docs/events.md has the reasons.
 */
export const DENIED_PROGRAMS: readonly string[] = [
  "tracker-miner-f*",
  "tracker-extract*",
  "localsearch*",
  "baloo_file*",
  "recollindex",
  "mdworker*",
  "mds_stores",
  "tumblerd",
  "*-thumbnailer",
  "clamd",
  "clamonacc",
  "syncthing",
  "dropbox",
  "nextcloud",
  "onedrive",
  "insync",
  "megasync",
  "seaf-daemon",
  "restic",
  "borg",
  "borgmatic",
  "duplicity",
  "deja-dup*",
  "rsnapshot",
  "rdiff-backup",
  "timeshift",
  "backintime",
  "kopia",
  "bup",
  "bacula-fd",
  "urbackupclientbackend",
];
