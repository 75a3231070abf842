import { type CommandTable, defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { show } from "../../output/terminal.ts";

export function createMan(description: string, table: CommandTable, aliases: ReadonlyMap<string, string>) {
  return defineCommand({
    args: defineFlags({}),
    notes: [
      "Read it with `llmfs man | man -l -`. To install it: `mkdir -p ~/.local/share/man/man1 && llmfs man > ~/.local/share/man/man1/llmfs.1`.",
    ],
    async run() {
      const [{ describeSurface }, { manPage }] = await Promise.all([
        import("../../reference/surface.ts"),
        import("../../reference/man-page.ts"),
      ]);
      show(manPage(description, await describeSurface(table, aliases)));
      return EXIT.ok.code;
    },
  });
}
