/** Loads a generator configuration: the rules and generators of a mount, in addition to the model. */
import type { ConfigLoadOptions, LoadedConfig } from "../generators/config/load.ts";
import { explainProblem } from "./configuration/configure.ts";
import { childEnvironment } from "./settings/settings.ts";

/** `environment`: by default, that of this process. Throws a UserError that names the file and the problem. */
export async function loadGenerators(
  file: string,
  options: Pick<ConfigLoadOptions, "print" | "mountpoint"> & Partial<Pick<ConfigLoadOptions, "environment">>,
): Promise<LoadedConfig> {
  const { loadConfig } = await import("../generators/config/load.ts");
  const { environment = childEnvironment({}) } = options;
  return await loadConfig(file, { ...options, environment }).catch(async (error: unknown) => {
    throw await explainProblem(file, error);
  });
}
