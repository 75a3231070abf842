import { UserError } from "../../../app/errors.ts";
import { findMountPlace } from "../../../app/place.ts";
import { ControlClient, ControlRefusal } from "../../../app/running/control-client.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { plural } from "../../output/quantity.ts";
import { show, showJson } from "../../output/terminal.ts";

export const allow = defineCommand({
  args: defineFlags({
    dir: {
      type: "positional",
      required: false,
      description: "a mount, or any path below it; default: the mount that contains the current directory",
    },
    json: { type: "boolean", description: "print what was allowed as JSON" },
  }),
  notes: [
    "A mount with --confirm-over 20 sends 20 requests to the model, and then refuses to generate (EDQUOT) until somebody runs " +
      "this command, which permits 20 more. With --confirm-over '$0.50' it is the same for an amount. Recorded answers cost " +
      "nothing and always work.",
  ],
  async run(args) {
    const { mountpoint } = await findMountPlace(args.dir);
    await using client = await ControlClient.open(mountpoint);
    const step = await client.allow().catch((error: unknown) => {
      if (error instanceof ControlRefusal)
        throw new UserError("failure", `${mountpoint}: ${error.reason}`, { cause: error });
      throw error;
    });
    if (args.json) showJson(step);
    else show("calls" in step ? `allowed ${plural(step.calls, "more request")}\n` : `allowed $${step.usd} more\n`);
    return EXIT.ok.code;
  },
});
