import { createReadStream } from "node:fs";
import { UserError } from "../../app/errors.ts";
import { absolutePath } from "../../app/machine/current-directory.ts";
import { watchAnswers } from "../../app/running/answering.ts";
import { controlFilePath, findMounted } from "../../app/running/mounted.ts";
import { messageOf } from "../../errno.ts";
import { findMountAt } from "../../mountinfo.ts";
import { writeAtomically } from "../../snapshot/write/write.ts";
import { defineCommand, defineFlags } from "../args/command.ts";
import { EXIT } from "../output/exit-codes.ts";
import { showExactly } from "../output/terminal.ts";
import { wrapSaveErrors } from "../preflight/output-paths.ts";

export const save = defineCommand({
  args: defineFlags({
    dir: { type: "positional", required: true, description: "the mount" },
    file: { type: "positional", required: true, description: "the snapshot to write, or - for standard output" },
  }),
  notes: [
    "FILE is replaced completely or not at all. A new file has mode 0600; an existing one keeps its mode. The mount stays " +
      "mounted.",
  ],
  async run(args) {
    const mountpoint = await findMounted(args.dir);
    const sick = Promise.withResolvers<never>();
    const mount = findMountAt(mountpoint);
    using _ = mount && watchAnswers(mount, sick.reject);
    const chunks = streamSnapshot(controlFilePath(mountpoint, "snapshot.json"), sick.promise);
    if (args.file === "-") for await (const chunk of chunks) showExactly(chunk);
    else await wrapSaveErrors(writeAtomically(absolutePath(args.file), chunks));
    return EXIT.ok.code;
  },
});

/** Rejects if `sick` rejects while waiting for a chunk. */
async function* streamSnapshot(path: string, sick: Promise<never>): AsyncGenerator<Uint8Array> {
  sick.catch(() => {});
  try {
    const stream = createReadStream(path, { highWaterMark: 1 << 20 })[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await Promise.race([stream.next(), sick]);
      if (done === true) return;
      yield value;
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("save", `the snapshot ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
