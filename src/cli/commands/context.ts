import { UserError } from "../../app/errors.ts";
import { type Looking, lookAt } from "../../app/inspect.ts";
import { findMountedFile } from "../../app/running/mounted.ts";
import { type AttributeName, attribute, PROMPT } from "../../attributes.ts";
import { CONTENT_INSTRUCTIONS, type Section } from "../../generate/context/prompts.ts";
import { countTokens } from "../../generate/spending/tokens.ts";
import type { Asked } from "../../offline/dry-run.ts";
import type { OfflineTree } from "../../offline/tree.ts";
import { defineCommand, defineFlags } from "../args/command.ts";
import { lookFlags } from "../args/flags.ts";
import { EXIT } from "../output/exit-codes.ts";
import { say, show, showJson } from "../output/terminal.ts";
import { createQuietLog } from "../process/serve.ts";

export const context = defineCommand({
  args: defineFlags({
    path: { type: "positional", required: true, description: "a file in a mount; with --from, a path in the snapshot" },
    from: { type: "string", valueHint: "FILE", description: "read from a snapshot instead of a mount" },
    ...lookFlags,
    json: { type: "boolean", description: "print the request and its parts as JSON" },
  }),
  notes: [
    "Prints exactly what would be sent to the model for a file, and why each part is in it. Sends nothing, generates " +
      "nothing, spends nothing. Control characters are shown as \\u001b; --json prints the exact text.",
  ],
  async run(args) {
    await using log = createQuietLog();
    const path =
      args.from === undefined ? (await findMountedFile(args.path)).path : `/${args.path.replace(/^\/+/, "")}`;
    await using looking = await lookAt(args.from ? { snapshot: args.from } : { mounted: args.path }, args, {
      log,
      say,
    });
    const { asks, failure, generator } = await looking.foresight.foresee(path);
    if (failure !== undefined) throw new UserError("failure", failure.message, { cause: failure });
    if (asks === undefined) {
      throw new UserError(
        "failure",
        `${path} is made by the generator ${JSON.stringify(generator)}: no model is asked`,
      );
    }
    const parts = await formatCount(await looking.foresight.sections(path), looking, path);
    if (args.json) showJson({ path, ...asks, recording: undefined, recorded: asks.recording !== undefined, parts });
    else show(formatContext(path, asks, parts, looking));
    return EXIT.ok.code;
  },
});

interface Part {
  readonly part: string;
  readonly why: string;
  readonly tokens: number;
}

async function formatCount(sections: readonly Section[], looking: Looking, path: string): Promise<readonly Part[]> {
  const prompts = listPromptSources(looking, path);
  const all = [{ part: "instructions", why: "the same for every file", text: CONTENT_INSTRUCTIONS }, ...sections];
  return Promise.all(
    all.map(async ({ part, why, text }) => ({
      part,
      why: part === "prompts" ? prompts : why,
      tokens: await countTokens(text),
    })),
  );
}

function listPromptSources({ tree, about }: Looking, path: string): string {
  const from = tree
    .settings(path, "prompt")
    .map((one) => one.from)
    .reverse();
  return [
    ...(about.contentPrompt === undefined ? [] : ["--content-prompt"]),
    ...from.map((one) => `${PROMPT} of ${one}`),
  ].join("; ");
}

function formatContext(path: string, asks: Asked, parts: readonly Part[], { tree, store }: Looking): string {
  const { request, key, recording, exact, inputTokens } = asks;
  const held = recording === undefined ? "not recorded" : `recorded in ${store?.name}`;
  const head = [
    path,
    `model        ${request.model}${formatOrigin(tree, path, "model")}`,
    ...(request.temperature === undefined
      ? []
      : [`temperature  ${request.temperature}${formatOrigin(tree, path, "temperature")}`]),
    ...(request.maxTokens === undefined
      ? []
      : [`max tokens   ${request.maxTokens}${formatOrigin(tree, path, "max-tokens")}`]),
    `request      ${key}, ${held}`,
    `sends        about ${inputTokens} tokens`,
    ...(exact ? [] : ["not exact    it depends on a file that is not generated yet; its content is not known"]),
    "",
    ...parts.map(({ part, why, tokens }) => `${String(tokens).padStart(7)} tokens  ${part}: ${why}`),
  ];
  const messages = request.messages.map(({ role, content }) => `\n=== ${role} ===\n${content}\n`);
  return `${head.join("\n")}\n${messages.join("")}`;
}

function formatOrigin(tree: OfflineTree, path: string, name: AttributeName): string {
  const [nearest] = tree.settings(path, name);
  return nearest === undefined ? "" : ` (${attribute(name)} of ${nearest.from})`;
}
