import { chooseConfigurationToTrust } from "../../app/configuration/choose.ts";
import { forgetTrust, listTrusted, trust as remember } from "../../app/configuration/trust.ts";
import { UsageError, UserError } from "../../app/errors.ts";
import { absolutePath } from "../../app/machine/current-directory.ts";
import { defineCommand, defineFlags } from "../args/command.ts";
import { EXIT } from "../output/exit-codes.ts";
import { say, show, showJson } from "../output/terminal.ts";

export const trust = defineCommand({
  args: defineFlags({
    file: {
      type: "positional",
      required: false,
      description: "a configuration; default: that of the current directory",
    },
    remove: { type: "boolean", description: "no longer trust the file, whatever its content" },
    list: { type: "boolean", description: "list the files that are trusted" },
    json: { type: "boolean", description: "with --list, print JSON" },
  }),
  unasked: ["file"],
  notes: [
    "A configuration that a command only finds in the current directory is used once you trust it: it can run programs, and " +
      "send data and keys to servers. Trust holds for this path and this content. Files that it imports are not checked.",
    "On a terminal, commands show such a configuration and ask. Elsewhere they exit with status 84. A file that is named with " +
      "--config needs no trust, nor does one below a directory in LLMFS_TRUST, nor ~/.config/llmfs/config.*.",
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
      const path = file === undefined ? (await chooseConfigurationToTrust(file, say)).file : absolutePath(file);
      if (!forgetTrust(path)) throw new UserError("input", `${path} is not trusted`);
      say(`no longer trusted: ${path}`);
      return EXIT.ok.code;
    }
    const configuration = await chooseConfigurationToTrust(file, say);
    remember(configuration);
    say(`trusted: ${configuration.file}`);
    return EXIT.ok.code;
  },
});
