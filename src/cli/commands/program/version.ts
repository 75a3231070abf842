import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { show, showJson } from "../../output/terminal.ts";
import { VERSION } from "../../version.ts";

export const version = defineCommand({
  args: defineFlags({
    json: { type: "boolean", description: "print the version as JSON, with the runtime and the platform" },
  }),
  notes: ["`llmfs --version` prints the same line."],
  async run(args) {
    if (args.json) {
      showJson({ version: VERSION, bun: Bun.version, platform: process.platform, arch: process.arch });
    } else show(`llmfs ${VERSION}\n`);
    return EXIT.ok.code;
  },
});
