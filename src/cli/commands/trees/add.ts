import { basename, dirname, join } from "node:path";
import { UsageError, UserError } from "../../../app/errors.ts";
import { resolveExistingPath } from "../../../app/mountpoint.ts";
import { ControlClient, ControlRefusal } from "../../../app/running/control-client.ts";
import { findMountedFile } from "../../../app/running/mounted.ts";
import { readPrompt } from "../../../app/settings/prompt.ts";
import { DEPENDS, DESCRIPTION, GENERATOR, PROMPT } from "../../../attributes.ts";
import { codeOf } from "../../../errno.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { showJson } from "../../output/terminal.ts";

export const add = defineCommand({
  args: defineFlags({
    path: { type: "positional", required: true, description: "the new file, in a mount" },
    description: { type: "positional", required: true, description: `what it is, in one line (${DESCRIPTION})` },
    prompt: {
      type: "string",
      alias: "F",
      valueHint: "TEXT|FILE",
      description: `an instruction for its content (${PROMPT})`,
    },
    depends: {
      type: "string",
      valueHint: "PATH[,PATH…]",
      description: `files in the mount to generate first and to show to the model (${DEPENDS})`,
    },
    generator: {
      type: "string",
      valueHint: "NAME",
      description: `the generator that makes it (${GENERATOR}); default: a language model`,
    },
    json: { type: "boolean", description: "print what was added as JSON" },
  }),
  notes: [
    "Makes one pending file, and the directories above it. It is generated when something first reads it. A path that " +
      "exists is refused, and nothing is changed.",
  ],
  async run(args) {
    if (args.description.trim() === "") throw new UsageError("the description is empty; say what the file is");
    if (args.path.endsWith("/")) throw new UsageError(`${args.path} names a directory; name the new file`);
    const { mountpoint, path } = await findMountedFile(placeOf(args.path));
    const prompt = args.prompt === undefined ? undefined : readPrompt("--prompt", args.prompt).text;
    const depends = await findDependencies(args.depends, mountpoint);
    await using client = await ControlClient.open(mountpoint);
    try {
      await client.add(path, { description: args.description, prompt, depends, generator: args.generator });
    } catch (error) {
      if (!(error instanceof ControlRefusal)) throw error;
      throw new UserError("failure", explainRefusal(args.path, error), { cause: error });
    }
    if (args.json) showJson({ mountpoint, path });
    return EXIT.ok.code;
  },
});

/** The directories above may be symlinks, and the last of them need not exist. */
function placeOf(path: string): string {
  return join(resolveExistingPath(dirname(path)), basename(path));
}

/** Lines with absolute paths within the mount. */
async function findDependencies(given: string | undefined, mountpoint: string): Promise<string | undefined> {
  if (given === undefined) return undefined;
  const lines: string[] = [];
  for (const name of given.split(",").map((one) => one.trim())) {
    if (name === "") continue;
    const found = await findMountedFile(name).catch((error: unknown) => {
      if (codeOf(error) !== undefined || !(error instanceof UserError)) throw error;
      throw new UsageError(`--depends ${name}: ${error.message}`);
    });
    if (found.mountpoint !== mountpoint) throw new UsageError(`--depends ${name} is not in the mount at ${mountpoint}`);
    lines.push(found.path);
  }
  return lines.join("\n");
}

function explainRefusal(path: string, { code, reason }: ControlRefusal): string {
  if (code === "EEXIST") return `${path} exists already, and was left as it is; to generate it again, run llmfs regen`;
  if (code === "EROFS") return `${path} cannot be added: the mount is read-only`;
  return `${path} cannot be added: ${reason}`;
}
