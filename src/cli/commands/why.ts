import { lookAt } from "../../app/inspect.ts";
import { fileXattr, mountedFile } from "../../app/running/mounted.ts";
import { OURS } from "../../attributes.ts";
import { command, flags } from "../args/command.ts";
import { lookFlags } from "../args/flags.ts";
import { EXIT } from "../output/exit-codes.ts";
import { story } from "../output/provenance-report.ts";
import { say, show } from "../output/terminal.ts";
import { quietLog } from "../process/serve.ts";

export const why = command({
  args: flags({
    path: { type: "positional", required: true, description: "a file in a mount; with --from, a path in the snapshot" },
    from: { type: "string", valueHint: "FILE", description: "a snapshot to look into, instead of a mount" },
    ...lookFlags,
  }),
  notes: ["Who wrote the file, what it was made from, what that cost, and whether the same would be asked for today."],
  async run(args) {
    await using log = quietLog();
    const path = args.from === undefined ? (await mountedFile(args.path)).path : `/${args.path.replace(/^\/+/, "")}`;
    await using looking = await lookAt(args.from ? { snapshot: args.from } : { mounted: args.path }, args, {
      log,
      say,
    });
    const file = await looking.tree.stat(path);
    const live = (name: string) => (args.from === undefined ? fileXattr(args.path, `${OURS}${name}`) : undefined);
    show(`${(await story(file, live, looking)).join("\n")}\n`);
    return EXIT.ok.code;
  },
});
