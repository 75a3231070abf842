import { createTwoFilesPatch, diffLines } from "diff";
import { UsageError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { findPlace, isDirectoryOnDisk } from "../../../app/place.ts";
import { readControlFile } from "../../../app/running/mounted.ts";
import { wantsColor } from "../../../app/settings/settings.ts";
import {
  type ComparedTree,
  compareTrees,
  type Difference,
  LARGEST_WHOLE,
  type Side,
} from "../../../offline/compare.ts";
import { OfflineTree } from "../../../offline/offline-tree.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { explain } from "../../output/explain-error.ts";
import { plural } from "../../output/quantity.ts";
import { formatColumns } from "../../output/table.ts";
import { isTerminal, say, show, showContentLine, showJson, showPieces } from "../../output/terminal.ts";
import { asUserError } from "../../process/source-tree.ts";

const SIDE = "a mount, a snapshot, a directory in one, such as tree.json/src, or a directory on disk";

export const diff = defineCommand({
  args: defineFlags({
    before: { type: "positional", required: true, description: SIDE },
    after: { type: "positional", required: true, description: "what to compare it with, of the same kinds" },
    stat: {
      type: "boolean",
      description: "print a line for each difference, with the number of lines added and removed",
    },
    json: { type: "boolean", description: "print the differences as a JSON list" },
  }),
  notes: [
    "Compares names, types, modes, contents and the targets of symlinks, and generates nothing. Two pending files count as the " +
      "same; a pending file and a file with content differ.",
    "The output is a patch: in a copy of BEFORE, `llmfs diff BEFORE AFTER | patch -p1` makes the changes to text files. " +
      "Everything else is only named: directories, modes, symlinks, and binary, empty and pending files. llmfs export writes " +
      "a whole tree.",
    `The exit status is that of diff(1): ${EXIT.ok.code} if the trees are the same, 1 if they differ, and greater than 1 if ` +
      "there is an error.",
  ],
  async run(args) {
    if (args.stat && args.json) throw new UsageError("--stat and --json exclude each other");
    const differences = await compare(args.before, args.after);
    if (differences === undefined) return TROUBLE;
    if (args.json) showJson(differences.map(summarize));
    else if (args.stat) showStat(differences);
    else for (const one of differences) showPatch(one);
    return differences.length === 0 ? EXIT.ok.code : 1;
  },
});

/** What diff(1) returns for trouble. */
const TROUBLE = 2;

/** Undefined for an error whose usual status is 1, which would mean a difference here. It has been reported then. */
async function compare(before: string, after: string): Promise<readonly Difference[] | undefined> {
  try {
    return compareTrees(await openSide(before), await openSide(after));
  } catch (error) {
    const { status, message = "" } = explain(error);
    if (status !== EXIT.failure.code) throw error;
    say(`llmfs: ${message}`);
    return undefined;
  }
}

async function openSide(named: string): Promise<ComparedTree> {
  const options = { warn: say };
  if (isDirectoryOnDisk(named))
    return { tree: new OfflineTree({ directory: absolutePath(named) }, options), path: "/" };
  const place = await findPlace(named);
  const tree =
    place.kind === "mount"
      ? new OfflineTree({ text: await readControlFile(place.mountpoint, "full-snapshot.json") }, options)
      : new OfflineTree({ file: place.file }, options);
  try {
    tree.stat(place.path);
  } catch (error) {
    throw asUserError(error, named);
  }
  return { tree, path: place.path };
}

/** The content as text; undefined for what is not text, or too large. */
function textOf(side: Side | undefined): string | undefined {
  if (side?.size === undefined) return "";
  if (side.content === undefined) return undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(side.content);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

interface Lines {
  readonly added: number;
  readonly removed: number;
}

/** Undefined if no text changed. */
function countLines({ before, after }: Difference): Lines | undefined {
  const [old, now] = [textOf(before), textOf(after)];
  if (old === undefined || now === undefined || old === now) return undefined;
  const parts = diffLines(old, now, { maxEditLength: MOST_EDITS });
  if (parts === undefined) return { added: linesOf(now).length, removed: linesOf(old).length };
  let [added, removed] = [0, 0];
  for (const part of parts) {
    if (part.added) added += part.count;
    if (part.removed) removed += part.count;
  }
  return { added, removed };
}

function summarize(one: Difference) {
  const { path, change, aspects, before, after } = one;
  const lines = countLines(one);
  const side = (of: Difference["before"]) =>
    of && {
      type: of.type,
      mode: of.mode,
      ...(of.size !== undefined && { size: of.size }),
      ...(of.pending && { pending: true }),
      ...(of.target && { target: of.target }),
    };
  return {
    path,
    change,
    aspects,
    ...(before && { before: side(before) }),
    ...(after && { after: side(after) }),
    ...lines,
  };
}

function showStat(differences: readonly Difference[]): void {
  const rows = differences.map((one) => {
    const lines = countLines(one);
    return [
      one.path,
      one.change,
      one.aspects.join(", "),
      lines === undefined ? "" : `+${lines.added} -${lines.removed}`,
    ];
  });
  show(
    formatColumns(rows)
      .map((line) => `${line}\n`)
      .join(""),
  );
  if (differences.length > 0) show(`${plural(differences.length, "difference")}\n`);
}

const COLORS: Readonly<Record<string, string>> = { "+": "32", "-": "31", "@": "36" };

function showPatch(one: Difference): void {
  const { path, change, aspects, before, after } = one;
  const colored = wantsColor(isTerminal(1));
  const line = (text: string, color = "") => showPieces([{ text, color }], colored);
  line(`${change}: ${path}${describe(one)}`, "1");
  if (aspects.includes("mode")) line(`mode ${before?.mode} -> ${after?.mode}`);
  if (aspects.includes("type")) line(`type ${before?.type} -> ${after?.type}`);
  if (aspects.includes("target")) line(`target ${before?.target} -> ${after?.target}`);
  const [old, now] = [textOf(before), textOf(after)];
  const both = before?.size !== undefined && after?.size !== undefined;
  const unseen = (what: string) => line(both ? `the contents are ${what}, and differ` : `the content is ${what}`);
  if ([before, after].some((side) => (side?.size ?? 0) > LARGEST_WHOLE)) return unseen("large");
  if (old === undefined || now === undefined) return unseen("binary");
  if (old === now) return;
  const name = (side: string, of: Difference["before"]) => (of === undefined ? "/dev/null" : patchName(side, path));
  const color = (text: string) => (colored ? (COLORS[text[0] ?? ""] ?? "") : "");
  for (const text of [`--- ${name("a", before)}`, `+++ ${name("b", after)}`]) showContentLine(text, colored ? "1" : "");
  for (const text of createHunks(old, now)) showContentLine(text, color(text));
}

/**
 * A file's name in the head of a patch, as git writes it: what could end the name or the line is quoted as in C, and a tab
 * ends a name with a space.
 */
function patchName(side: string, path: string): string {
  const name = `${side}/${path}`;
  if (/[\p{Cc}"\\]/u.test(name)) return `"${name.replace(/[\p{Cc}"\\]/gu, quoteCharacter)}"`;
  return name.includes(" ") ? `${name}\t` : name;
}

function quoteCharacter(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  return Array.from(Buffer.from(character), (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

/**
 * The search for the shortest difference takes time in proportion to the square of its length. Texts with more different
 * lines than this are shown as replaced.
 */
const MOST_EDITS = 1500;

function createHunks(old: string, now: string): readonly string[] {
  const found = createTwoFilesPatch("a", "b", old, now, undefined, undefined, { maxEditLength: MOST_EDITS });
  if (found !== undefined) return linesOf(found).slice(HEAD);
  const [oldLines, newLines] = [linesOf(old), linesOf(now)];
  const range = (lines: readonly string[]) => `${Math.min(1, lines.length)},${lines.length}`;
  const side = (sign: string, text: string, lines: readonly string[]) => [
    ...lines.map((line) => sign + line),
    ...(text === "" || text.endsWith("\n") ? [] : ["\\ No newline at end of file"]),
  ];
  return [`@@ -${range(oldLines)} +${range(newLines)} @@`, ...side("-", old, oldLines), ...side("+", now, newLines)];
}

/** The lines of a patch before its first hunk: a ruler and the two names. */
const HEAD = 3;

function linesOf(text: string): readonly string[] {
  const lines = text.split("\n");
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

/** What a patch does not show. */
function describe({ before, after }: Difference): string {
  if (before?.pending !== after?.pending && before && after) return before.pending ? " (was pending)" : " (is pending)";
  const only = before ?? after;
  if (before !== undefined && after !== undefined) return "";
  if (only?.pending) return " (pending)";
  return only?.type === "file" ? "" : ` (${only?.type})`;
}
