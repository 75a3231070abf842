import { command, flags } from "../command.ts";

export const demo = command({
  args: flags({}),
  async run() {
    return 1;
  },
});
