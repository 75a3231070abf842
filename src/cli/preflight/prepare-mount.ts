/** Checks everything that can be checked before a mount is made, and reads its configuration. */
import { configure } from "../../app/configuration/configure.ts";
import { checkMountpointPath } from "../../app/mountpoint.ts";
import type { Config } from "../../app/settings/settings.ts";
import type { SettingsArguments } from "../../app/settings/table.ts";
import { person } from "../output/ask.ts";
import { createNotPermittedError, findWayToMount } from "./mount-capability.ts";
import { checkOutputs } from "./output-paths.ts";

export type MountArguments = SettingsArguments & { readonly dir: string };

/** Rejects with UserError or MountError. */
export async function prepareMount(
  args: MountArguments,
): Promise<{ readonly config: Config; readonly mountpoint: string }> {
  const config = await configure(args, person);
  // Generating a layout may cost money, so make sure first that mounting will work.
  const way = await findWayToMount({ certain: config.prompt !== undefined || config.grow !== undefined });
  if (way.how === "none") throw createNotPermittedError(way.refusal);
  const mountpoint = await checkMountpointPath(args.dir);
  await checkOutputs(config, mountpoint);
  return { config, mountpoint };
}
