/** Loads a generator configuration, and makes the engine that uses it. */
import type { Engine, EngineOptions } from "../generate/engine.ts";
import type { DescribedConfiguration } from "../generators/config/document.ts";
import type { ConfigLoadOptions, LoadedConfig } from "../generators/config/load.ts";
import type { ConfigurationFile } from "../generators/trusted-content.ts";
import { explainProblem } from "./configuration/configure.ts";
import { childEnvironment } from "./settings/settings.ts";

/** `environment`: by default, that of this process. Throws a UserError that names the file and the problem. */
export async function loadGenerators(
  configuration: ConfigurationFile | DescribedConfiguration,
  options: Pick<ConfigLoadOptions, "print" | "mountpoint"> & Partial<Pick<ConfigLoadOptions, "environment">>,
): Promise<LoadedConfig> {
  const { loadConfig } = await import("../generators/config/load.ts");
  const { environment = childEnvironment({}) } = options;
  return await loadConfig(configuration, { ...options, environment }).catch(async (error: unknown) => {
    throw await explainProblem(configuration.file, error);
  });
}

/** The one engine of a tree, for the model and for the generators of a configuration, if there is one. */
export async function openEngine(
  configured: LoadedConfig | undefined,
  options: Omit<EngineOptions, "generators" | "rules">,
): Promise<Engine> {
  const { createEngine } = await import("../generate/engine.ts");
  if (configured === undefined) return createEngine(options);
  const { generators, rules } = configured;
  return createEngine({
    ...options,
    generators: new Map([...generators].map(([name, { generator }]) => [name, generator])),
    rules,
  });
}
