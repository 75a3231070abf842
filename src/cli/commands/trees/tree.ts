import { describePlace, findPlace, listPlace } from "../../../app/place.ts";
import { wantsColor } from "../../../app/settings/settings.ts";
import { parseCount } from "../../../app/settings/values.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { placeArgument } from "../../args/flags.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { isTerminal, say, show, showJson, showPieces } from "../../output/terminal.ts";
import { countEntries, drawTree } from "../../output/tree-report.ts";

export const tree = defineCommand({
  args: defineFlags({
    source: placeArgument,
    depth: { type: "string", valueHint: "N", description: "show N levels of directories; default: all" },
    json: { type: "boolean", description: "print the entries as a JSON list" },
  }),
  notes: [
    "Shows the state, the size and the generator of each file, and generates nothing. On a terminal, the output has colours, " +
      "unless NO_COLOR is set.",
  ],
  async run(args) {
    const depth = args.depth === undefined ? Number.POSITIVE_INFINITY : parseCount("--depth", args.depth, 1);
    const place = await findPlace(args.source);
    const { self, below } = await listPlace(place, say);
    const from = place.path;
    const base = from === "/" ? "" : from;
    if (args.json) {
      const entries = [...(self === undefined ? [] : [self]), ...below];
      showJson(entries.filter(({ path }) => path.slice(base.length).split("/").length - 1 <= depth));
      return EXIT.ok.code;
    }
    const colored = wantsColor(isTerminal(1));
    showPieces([{ text: describePlace(place), color: "1;34" }], colored);
    for (const line of drawTree(below, { depth, from })) showPieces(line, colored);
    show(`\n${countEntries(below)}\n`);
    return EXIT.ok.code;
  },
});
