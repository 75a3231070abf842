import { statSync } from "node:fs";
import { chooseConfigurationToTrust } from "../../../app/configuration/choose.ts";
import { forgetTrust, listTrusted, trust as remember } from "../../../app/configuration/trust.ts";
import { UsageError, UserError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { isCode } from "../../../generators/config/find-config.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { say, show, showJson } from "../../output/terminal.ts";

export const trust = defineCommand({
  args: defineFlags({
    file: {
      type: "positional",
      required: false,
      description: "the configuration to trust, or its directory; default: the current directory",
    },
    remove: { type: "boolean", description: "stop trusting the file, whatever it contains" },
    list: { type: "boolean", description: "list the files that are trusted" },
    json: { type: "boolean", description: "with --list, print JSON" },
  }),
  unasked: ["file"],
  notes: [
    "A configuration can run programs, and send data and keys to servers. So a command uses one that it finds in the current " +
      "directory only if you trust it. Trust applies to this path with this content. Files that the configuration imports are not " +
      "checked.",
    "On a terminal, a command shows a configuration that you do not trust, and asks. Without a terminal, it exits with status 84. " +
      "These need no trust: a file that --config names, a file below a directory in LLMFS_TRUST, and ~/.config/llmfs/config.*.",
  ],
  async run({ file, remove, list, json }) {
    if (list) {
      if (file !== undefined || remove) throw new UsageError("--list needs no file and no other action");
      if (json) showJson(listTrusted());
      else
        show(
          listTrusted()
            .map((path) => `${path}\n`)
            .join(""),
        );
      return EXIT.ok.code;
    }
    if (json) throw new UsageError("--json needs --list");
    if (remove) {
      // A named file may be gone.
      const namesFile = file !== undefined && statSync(file, { throwIfNoEntry: false })?.isDirectory() !== true;
      const path = namesFile ? absolutePath(file) : (await chooseConfigurationToTrust(file, say)).file;
      if (!forgetTrust(path)) throw new UserError("input", `${path} is not trusted`);
      say(`no longer trusted: ${path}`);
      return EXIT.ok.code;
    }
    const configuration = await chooseConfigurationToTrust(file, say);
    remember(configuration);
    say(`trusted: ${configuration.file}`);
    const problem = await findProblem(configuration.file);
    if (problem !== undefined) say(`warning: it cannot be used as it is. ${problem}`);
    return EXIT.ok.code;
  },
});

/** The first mistake in the file. A program is not run to find one. */
async function findProblem(file: string): Promise<string | undefined> {
  if (isCode(file)) return undefined;
  const { readConfigurations } = await import("../../../app/configuration/configure.ts");
  try {
    const { rules } = await readConfigurations(file, { say: () => {}, askForTrust: undefined });
    if (rules?.file !== file) return undefined;
    const { loadGenerators } = await import("../../../app/configured-generators.ts");
    await (await loadGenerators(rules, { print: () => {} }))[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}
