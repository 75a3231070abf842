import { createReadStream } from "node:fs";
import { messageOf } from "../../errno.ts";
import { writeAtomically } from "../../snapshot/write.ts";
import { command, flags } from "../command.ts";
import { absolutePath } from "../cwd.ts";
import { CliError, EXIT } from "../exit.ts";
import { controlFile, mountedAt } from "../mounted.ts";
import { asSaved } from "../outputs.ts";
import { showExactly } from "../terminal.ts";

export const save = command({
  args: flags({
    dir: { type: "positional", required: true, description: "where the filesystem is mounted" },
    file: { type: "positional", required: true, description: "the snapshot to write, or - for standard output" },
  }),
  notes: [
    "FILE is replaced as a whole or left alone. A new file can be read by its owner only; an existing one keeps its mode. " +
      "The mount goes on.",
  ],
  async run(args) {
    const chunks = snapshot(controlFile(await mountedAt(args.dir), "snapshot.json"));
    if (args.file === "-") for await (const chunk of chunks) showExactly(chunk);
    else await asSaved(writeAtomically(absolutePath(args.file), chunks));
    return EXIT.ok.code;
  },
});

async function* snapshot(path: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) yield chunk;
  } catch (error) {
    throw new CliError("save", `the snapshot ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
