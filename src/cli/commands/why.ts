import { command, flags } from "../command.ts";
import { EXIT } from "../exit.ts";
import { quietLog } from "../foreground.ts";
import { lookAt } from "../looking.ts";
import { fileXattr, mountedFile } from "../mounted.ts";
import { lookFlags } from "../options.ts";
import { story } from "../story.ts";
import { show } from "../terminal.ts";

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
    await using looking = await lookAt(args.from ? { snapshot: args.from } : { mounted: args.path }, args, log);
    const file = await looking.tree.stat(path);
    const live = (name: string) => (args.from === undefined ? fileXattr(args.path, `user.llmfs.${name}`) : undefined);
    show(`${(await story(file, live, looking)).join("\n")}\n`);
    return EXIT.ok.code;
  },
});
