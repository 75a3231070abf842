import { readConfigurations, withLines } from "../../../app/configuration/configure.ts";
import type { SettingInForce } from "../../../app/configuration/in-force.ts";
import { loadGenerators } from "../../../app/configured-generators.ts";
import { UsageError, UserError } from "../../../app/errors.ts";
import { findSource } from "../../../app/layout/starting-tree.ts";
import { readCheckLimits } from "../../../app/settings/check.ts";
import { type Config, readConfig, readGiven } from "../../../app/settings/settings.ts";
import { keyOf, SETTING_NAMES } from "../../../app/settings/table.ts";
import { messageOf } from "../../../errno.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { checkFlags, logFlags, mountFlags } from "../../args/flags.ts";
import { requireChoice } from "../../args/parse.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { cutLine, formatColumns } from "../../output/table.ts";
import { say, show, showJson } from "../../output/terminal.ts";
import { checkFile, checkOutputs } from "../../preflight/output-paths.ts";

export const config = defineCommand({
  args: defineFlags({
    key: {
      type: "positional",
      required: false,
      description: "show only this setting, such as mode, or max-usd; default: all",
    },
    schema: { type: "boolean", description: "print the JSON Schema of configuration files, for editors" },
    json: { type: "boolean", description: "print the settings as JSON" },
    ...mountFlags,
    ...checkFlags,
    ...logFlags,
  }),
  notes: [
    "Shows every setting that applies to commands in this directory, and where its value comes from: a flag, an environment " +
      "variable, a line of a file, or the default. Keys and passwords are masked.",
    "Everything in the configuration is checked as for a mount: values, generators, rules, the snapshot or directory to start " +
      "from, and whether files can be written. Nothing is sent, and no generator runs.",
    "docs/configuration.md describes configuration files.",
  ],
  async run({ key, schema, json, ...args }) {
    const wanted = key === undefined ? undefined : requireChoice("KEY", key, [...SETTING_NAMES.map(keyOf), "rules"]);
    if (schema) {
      if (json || wanted !== undefined)
        throw new UsageError("--schema prints JSON, with all settings; it goes with nothing else");
      const { createJsonSchema } = await import("../../../app/configuration/schema.ts");
      showJson(createJsonSchema());
      return EXIT.ok.code;
    }
    const { files, settings, rules: from } = await readConfigurations(args.config, person);
    const rules = from?.file;
    const checked = await withLines(settings, () => {
      readCheckLimits(args, settings);
      return readConfig(args, undefined, settings);
    });
    await checkSources(checked);
    await checkOutputs(checked, undefined);
    if (from !== undefined) await (await loadGenerators(from, { print: say }))[Symbol.asyncDispose]();
    const { describeSettings } = await import("../../../app/configuration/in-force.ts");
    const all = await describeSettings(readGiven(args, settings), checked);
    const isWanted = (name: string) => wanted === undefined || name === wanted || name.startsWith(`${wanted}.`);
    const described = all.filter((one) => isWanted(one.key));
    const ofRules = isWanted("rules") ? [["rules", rules ?? "none", ""]] : [];
    if (json) showJson({ files, ...(rules !== undefined && { rules }), settings: described });
    else show(`${formatColumns([...described.map(formatRow), ...ofRules]).join("\n")}\n`);
    return EXIT.ok.code;
  },
});

/** Rejects with UserError or SnapshotError if a tree cannot start from what the settings name. */
async function checkSources(config: Config): Promise<void> {
  await checkFile(config, "from", async (source, from) => {
    try {
      const found = await findSource(from);
      if ("directory" in found) return;
      const { OfflineTree } = await import("../../../offline/offline-tree.ts");
      new OfflineTree({ file: from });
    } catch (error) {
      throw new UserError("snapshot", `${source} ${messageOf(error)}`, { cause: error });
    }
  });
}

/** Longer values, such as prompts, are cut. */
const VALUE_WIDTH = 48;

function formatRow({ key, value, source, line }: SettingInForce): readonly string[] {
  const shown = value === undefined ? "not set" : cutLine(value.trim().split("\n", 1)[0] ?? "", VALUE_WIDTH);
  const origin = source === undefined ? (value === undefined ? "" : "default") : source;
  return [key, shown, line === undefined ? origin : `${origin}:${line}`];
}
