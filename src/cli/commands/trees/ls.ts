import { basename } from "node:path";
import { findPlace, listPlace } from "../../../app/place.ts";
import type { DetailedEntry } from "../../../rpc/tree-port.ts";
import { printableLine } from "../../../text/printable.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { formatBytes } from "../../output/quantity.ts";
import { formatColumns } from "../../output/table.ts";
import { say, show, showJson } from "../../output/terminal.ts";

export const ls = defineCommand({
  args: defineFlags({
    path: {
      type: "positional",
      required: false,
      description:
        "a directory or file in a mount or a snapshot, such as DIR/src or tree.json/src; default: the root of the mount that contains the current directory",
    },
    long: { type: "boolean", alias: "l", description: "also show mode, state, size and generator" },
    json: { type: "boolean", description: "print the entries as a JSON list, as llmfs tree does" },
  }),
  notes: ["Lists one directory, one name per line, and generates nothing."],
  async run(args) {
    const entries = await listPlace(await findPlace(args.path), say);
    const shown = entries.list(false);
    if (args.json) showJson(shown);
    else if (args.long)
      show(
        formatColumns(shown.map(formatLong))
          .map((line) => `${line}\n`)
          .join(""),
      );
    else show(shown.map((entry) => `${printableLine(nameOf(entry))}\n`).join(""));
    return EXIT.ok.code;
  },
});

function nameOf({ path, type }: DetailedEntry): string {
  return `${basename(path)}${type === "directory" ? "/" : ""}`;
}

function formatLong(entry: DetailedEntry): readonly string[] {
  const { mode, state, size, generator, target } = entry;
  const name = target === undefined ? nameOf(entry) : `${nameOf(entry)} -> ${target}`;
  return [mode, state ?? entry.type, size === undefined ? "-" : formatBytes(size), generator ?? "-", name];
}
