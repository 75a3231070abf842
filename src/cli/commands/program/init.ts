import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FORMATS, PROMPT, PROMPT_FILE, starterText } from "../../../app/configuration/starter.ts";
import { readConfiguration, trust } from "../../../app/configuration/trust.ts";
import { UserError } from "../../../app/errors.ts";
import { absolutePath } from "../../../app/machine/current-directory.ts";
import { messageOf } from "../../../errno.ts";
import { findConfig } from "../../../generators/config/find-config.ts";
import { findMountOnPath } from "../../../inside-mount.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { say, showJson } from "../../output/terminal.ts";

export const init = defineCommand({
  args: defineFlags({
    dir: {
      type: "positional",
      required: false,
      description: "the directory to write to; default: the current directory",
    },
    format: { type: "enum", options: [...FORMATS], description: "the format of the configuration; default: yaml" },
    json: { type: "boolean", description: "print the paths that were written as JSON" },
  }),
  notes: [
    `Writes a configuration with comments, and ${PROMPT_FILE}, an example of a prompt. It asks no questions and overwrites no file. ` +
      "The configuration is trusted until its content changes (see llmfs trust).",
    "The configuration has a rule for one file that needs no model. Try: `llmfs run -- cat hello.txt`.",
  ],
  async run({ dir = ".", format = "yaml", json }) {
    const folder = absolutePath(dir);
    const mount = findMountOnPath(folder);
    if (mount !== undefined) {
      throw new UserError("input", `${dir} is inside ${mount}, and a configuration there is never used`);
    }
    const config = join(folder, `llmfs.config.${format}`);
    const example = join(folder, PROMPT_FILE);
    const present = findConfig(folder) ?? (existsSync(example) ? example : undefined);
    if (present !== undefined) throw new UserError("input", `${present} exists already; nothing was written`);
    try {
      mkdirSync(folder, { recursive: true });
      writeFileSync(config, starterText(format), { flag: "wx" });
      writeFileSync(example, PROMPT, { flag: "wx" });
    } catch (error) {
      throw new UserError("input", `cannot write the configuration: ${messageOf(error)}`, { cause: error });
    }
    trust(await readConfiguration(config));
    if (json) showJson({ config, prompt: example });
    say(`wrote ${config} and ${example}; next: llmfs run -- cat hello.txt`);
    return EXIT.ok.code;
  },
});
