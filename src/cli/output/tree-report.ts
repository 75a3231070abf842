/** Draws a tree with the state, size and generator of each file. */
import { basename } from "node:path";
import type { DetailedEntry, FailedRenewal } from "../../rpc/tree-port.ts";
import { printableLine } from "../../text/printable.ts";
import { formatBytes, plural } from "./quantity.ts";

/** SGR parameters of ECMA-48. */
const BOLD_BLUE = "1;34";
const COLORS = { static: "", ready: "32", pending: "33", generating: "36", failed: "31" } as const;

/** A piece of a line, and the color it has on a terminal. */
export interface ColoredText {
  readonly text: string;
  readonly color: string;
}

export interface DrawOptions {
  /** Entries further below are only counted. */
  readonly depth: number;
  /** The path of the directory that is shown: "/" or "/src". */
  readonly from: string;
}

/** One line for each entry. All are below the directory; their order stays. */
export function drawTree(
  below: readonly DetailedEntry[],
  { depth, from }: DrawOptions,
): readonly (readonly ColoredText[])[] {
  const base = from === "/" ? "" : from;
  const children = Map.groupBy(below, ({ path }) => path.slice(0, path.lastIndexOf("/")));
  const rows: { readonly branch: string; readonly entry: DetailedEntry }[] = [];
  const visit = (parent: string, indent: string, level: number) => {
    const inside = children.get(parent) ?? [];
    for (const [index, entry] of inside.entries()) {
      const last = index === inside.length - 1;
      rows.push({ branch: `${indent}${last ? "└── " : "├── "}`, entry });
      if (level < depth) visit(entry.path, `${indent}${last ? "    " : "│   "}`, level + 1);
    }
  };
  visit(base, "", 1);
  const names = rows.map(({ branch, entry }) => `${branch}${nameOf(entry)}`);
  const width = Math.min(WIDEST, Math.max(0, ...names.map((name) => Bun.stringWidth(name))));
  return rows.map(({ branch, entry }, index) => {
    const name = { text: nameOf(entry), color: entry.type === "directory" ? BOLD_BLUE : "" };
    const { state, size, generator, failedRenewal } = entry;
    const failed =
      failedRenewal === undefined ? [] : [{ text: `  ${failedRenewal.what} failed`, color: COLORS.failed }];
    if (entry.type !== "file" || state === undefined) return [{ text: branch, color: "" }, name, ...failed];
    const gap = " ".repeat(Math.max(0, width - Bun.stringWidth(names[index] ?? "")) + 2);
    const details = `${(size === undefined ? "" : formatBytes(size)).padStart(SIZE)}  ${printableLine(generator ?? "")}`;
    return [
      { text: branch, color: "" },
      name,
      { text: gap, color: "" },
      { text: state.padEnd(STATE), color: COLORS[state] },
      { text: ` ${details}`.trimEnd(), color: "" },
      ...(entry.outdated === true ? [{ text: "  outdated", color: COLORS.pending }] : []),
      ...failed,
    ];
  });
}

/** The state of longer names is not aligned. */
const WIDEST = 60;
const STATE = "generating".length;
const SIZE = "1023 KiB".length;

function nameOf({ path, type, target }: DetailedEntry): string {
  const name = printableLine(basename(path));
  if (type === "directory") return `${name}/`;
  return target === undefined ? name : `${name} -> ${printableLine(target)}`;
}

export function describeFailedRenewal({ what, error, at }: FailedRenewal): string {
  return `the last ${what} failed at ${at}: ${error}`;
}

/** "3 directories, 12 files: 4 ready, 8 pending". */
export function countEntries(entries: readonly DetailedEntry[]): string {
  const directories = entries.filter(({ type }) => type === "directory").length;
  const files = entries.filter(({ type }) => type === "file");
  const states = Map.groupBy(files, ({ state = "static" }) => state);
  const parts = (["ready", "generating", "pending", "failed", "static"] as const).flatMap((state) => {
    const count = states.get(state)?.length ?? 0;
    return count > 0 ? [`${count} ${state}`] : [];
  });
  const counts = `${plural(directories, "directory", "directories")}, ${plural(files.length, "file")}`;
  const outdated = files.filter((file) => file.outdated).length;
  const failed = entries.filter(({ failedRenewal }) => failedRenewal !== undefined).length;
  return [
    [counts, ...(parts.length === 0 ? [] : [parts.join(", ")])].join(": "),
    ...(outdated === 0 ? [] : [`${outdated} outdated`]),
    ...(failed === 0 ? [] : [`${failed} not renewed`]),
  ].join("; ");
}
