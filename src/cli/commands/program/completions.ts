import { type CommandTable, defineCommand, defineFlags } from "../../args/command.ts";
import { requireChoice } from "../../args/parse.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { show } from "../../output/terminal.ts";
import type { Surface } from "../../reference/surface.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

export function createCompletions(table: CommandTable, aliases: ReadonlyMap<string, string>) {
  return defineCommand({
    args: defineFlags({
      shell: {
        type: "positional",
        required: true,
        valueHint: SHELLS.join("|"),
        description: "the shell: bash, zsh or fish",
      },
    }),
    notes: [
      "To load it in every session, add a line to the shell's configuration: in ~/.bashrc `source <(llmfs completions bash)`, " +
        "in ~/.zshrc after compinit `source <(llmfs completions zsh)`, in ~/.config/fish/config.fish " +
        "`llmfs completions fish | source`.",
      "The script completes commands, flags, their values and file names. It starts no program and reads no file.",
    ],
    async run(args) {
      const shell = requireChoice("SHELL", args.shell, SHELLS);
      const { describeSurface } = await import("../../reference/surface.ts");
      const commands = await describeSurface(table, aliases);
      show(await SCRIPTS[shell](commands));
      return EXIT.ok.code;
    },
  });
}

type Script = (commands: readonly Surface[]) => Promise<string>;

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], Script>> = {
  bash: async (commands) => (await import("../../reference/bash.ts")).bashCompletion(commands),
  zsh: async (commands) => (await import("../../reference/zsh.ts")).zshCompletion(commands),
  fish: async (commands) => (await import("../../reference/fish.ts")).fishCompletion(commands),
};
