/**
 * The mount helper: mount(8) runs /sbin/mount.fuse.llmfs, which is a link to this program, to mount the type "fuse.llmfs".
 *
 *   mount.fuse.llmfs SOURCE DIR [-sfnvrw] [-N NAMESPACE] [-t TYPE] [-o OPTION,…]
 *
 * SOURCE is a snapshot or a directory to start from, or "none". An option is a flag of `llmfs mount` without its dashes, such
 * as `max-calls=10`; mount(8) adds options of its own. Exit statuses are those of mount(8).
 */
import type { ArgsDef } from "citty";
import { UsageError } from "../../app/errors.ts";
import { shellWord } from "../../fuse/mounting/mountpoint.ts";
import { findNearest } from "../../text/did-you-mean.ts";
import { spellings } from "../args/parse.ts";
import { EXIT } from "../output/exit-codes.ts";
import { say } from "../output/terminal.ts";

/** Options of fstab(5) and mount(8) that say when and by whom something is mounted, or that FUSE does not know. */
const FOR_MOUNT = new Set([
  "defaults",
  "auto",
  "noauto",
  "user",
  "users",
  "nouser",
  "owner",
  "group",
  "nofail",
  "_netdev",
  "rw",
  "exec",
  "nosuid",
  "nodev",
  "async",
  "atime",
  "noatime",
  "diratime",
  "nodiratime",
  "relatime",
  "norelatime",
  "strictatime",
  "nostrictatime",
  "lazytime",
  "nolazytime",
  "silent",
  "loud",
]);

/** Flags that make no sense here: mount(8) waits for the helper to end. */
const NO_OPTIONS = new Set(["foreground", "json"]);

/** Options with another name as a flag. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ["ro", "read-only"],
  ["noexec", "no-exec"],
]);

/** Sources that stand for an empty tree. */
const NO_SOURCE = new Set(["none", "llmfs", ""]);

/** See mount(8), "EXIT STATUS". */
const STATUS = { usage: 1, interrupted: 8, failed: 32 } as const;

export interface HelperLine {
  /** The command line of `llmfs mount`. */
  readonly argv: readonly string[];
  /** Whether nothing is to be mounted (-f). */
  readonly fake: boolean;
}

/** `flags`: those of `llmfs mount`. Throws UsageError. */
export function parseHelperLine(argv: readonly string[], flags: ArgsDef): HelperLine {
  const named = new Map(
    Object.entries(flags)
      .filter(([key]) => !NO_OPTIONS.has(key))
      .flatMap(([key, flag]) => spellings(key, flag).map((name) => [name, flag.type] as const)),
  );
  const places: string[] = [];
  const options: string[] = [];
  let fake = false;
  let sloppy = false;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    const valued = /^-([otN])(.*)$/s.exec(word);
    if (valued !== null) {
      const value = valued[2] || argv[++at];
      if (value === undefined) throw new UsageError(`${word} needs a value`);
      if (valued[1] === "o") options.push(...splitOptions(value));
    } else if (/^-[sfnvrw]+$/.test(word)) {
      fake ||= word.includes("f");
      sloppy ||= word.includes("s");
      if (word.includes("r")) options.push("ro");
    } else if (word.startsWith("-")) throw new UsageError(`unknown flag ${word}`);
    else places.push(word);
  }
  const [source = "", directory, surplus] = places;
  if (directory === undefined) throw new UsageError("SOURCE and DIR are missing; mount(8) passes both");
  if (surplus !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(surplus)}`);
  // First, because mount(8) then passes on options of the mount that is there.
  if (options.includes("remount")) {
    throw new UsageError(
      "an llmfs mount cannot be changed while it is there, so remount is refused; unmount it, and mount it again with the other " +
        "options (with save=FILE, its files are saved; with FILE as the source, they are there again)",
    );
  }
  const translated = options.flatMap((option) => (isOwnId(option) ? [] : translate(option, named, sloppy, directory)));
  // Neither the current directory nor the home directory of whoever calls mount(8) decides how a mount is configured.
  const config = translated.some((flag) => flag.startsWith("--config=")) ? [] : ["--config=none"];
  const from = NO_SOURCE.has(source) ? [] : [`--from=${source}`];
  return { argv: [...from, ...config, ...translated, "--", directory], fake };
}

/** Commas separate options, except within double quotes and after a backslash. */
function splitOptions(list: string): readonly string[] {
  const options: string[] = [];
  let option = "";
  let quoted = false;
  for (let at = 0; at < list.length; at++) {
    const character = list[at] ?? "";
    if (character === "\\" && (list[at + 1] === "," || list[at + 1] === "\\")) option += list[++at];
    else if (character === '"') quoted = !quoted;
    else if (character === "," && !quoted) {
      options.push(option);
      option = "";
    } else option += character;
  }
  return [...options, option].filter((one) => one !== "");
}

/** Whether the option asks for what is the case anyway. */
function isOwnId(option: string): boolean {
  return option === `uid=${process.getuid?.()}` || option === `gid=${process.getgid?.()}`;
}

/** What to do instead of an option that other filesystems have. Undefined for any other option. */
function explainUnsupported(given: string, value: string, directory: string): string | undefined {
  switch (given) {
    case "uid":
    case "gid": {
      const change = given === "uid" ? `chown -R ${value}` : `chgrp -R ${value}`;
      return (
        `${given}=${value} is not supported: what is in a mount belongs to whoever mounts it. Let that user mount it (with the option ` +
        `user in fstab), or mount with allow_other and change the owner then: ${change} ${shellWord(directory)}`
      );
    }
    case "umask":
      return (
        `${given}=${value} is not supported: files have modes of their own. Set the umask of whoever mounts, or change the modes ` +
        `then: chmod -R MODE ${shellWord(directory)}`
      );
    default:
      return undefined;
  }
}

function translate(
  option: string,
  named: ReadonlyMap<string, string | undefined>,
  sloppy: boolean,
  directory: string,
): readonly string[] {
  const equals = option.indexOf("=");
  const given = equals < 0 ? option : option.slice(0, equals);
  const value = equals < 0 ? undefined : option.slice(equals + 1);
  if (FOR_MOUNT.has(given) || given === "comment" || /^[xX]-/.test(given)) return [];
  const name = RENAMED.get(given) ?? given.replaceAll("_", "-");
  const type = named.get(`--${name}`);
  if (name.length < 2 || type === undefined) {
    if (sloppy) return [];
    const instead = explainUnsupported(given, value ?? "", directory);
    if (instead !== undefined) throw new UsageError(instead);
    const guess = findNearest(
      name,
      [...named.keys()].filter((flag) => flag.startsWith("--")).map((flag) => flag.slice(2)),
    );
    throw new UsageError(`unknown option ${given}${guess === undefined ? "" : `; did you mean ${guess}?`}`);
  }
  if (type === "boolean") {
    if (value !== undefined) throw new UsageError(`the option ${given} has no value`);
    return [`--${name}`];
  }
  if (value === undefined) throw new UsageError(`the option ${given} needs a value: ${given}=…`);
  return [`--${name}=${value}`];
}

/** Resolves with an exit status of mount(8). Never rejects. */
export async function runMountHelper(argv: readonly string[]): Promise<number> {
  const [{ mount }, { llmfs }] = await Promise.all([import("../commands/mounts/mount.ts"), import("../llmfs.ts")]);
  let line: HelperLine;
  try {
    line = parseHelperLine(argv, mount.args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    say(`mount.fuse.llmfs: ${error.message}`);
    return STATUS.usage;
  }
  if (line.fake) return EXIT.ok.code;
  const status = await llmfs(["mount", ...line.argv]);
  // The mount is there; what could not be generated was reported.
  if (status === EXIT.ok.code || status === EXIT.incomplete.code) return EXIT.ok.code;
  if (status === EXIT.usage.code) return STATUS.usage;
  return status > 128 ? STATUS.interrupted : STATUS.failed;
}
