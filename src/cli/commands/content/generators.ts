import { EXPECTED, findConfigurations } from "../../../app/configuration/choose.ts";
import { hasRules, withLines } from "../../../app/configuration/configure.ts";
import { readSettings } from "../../../app/configuration/settings-file.ts";
import { loadGenerators } from "../../../app/configured-generators.ts";
import { UsageError, UserError } from "../../../app/errors.ts";
import { testGenerator } from "../../../app/without-mount.ts";
import { DEFAULT_GENERATOR } from "../../../attributes.ts";
import { reasonOf } from "../../../errno.ts";
import type { LoadedConfig } from "../../../generators/config/load.ts";
import type { ConfigurationFile } from "../../../generators/trusted-content.ts";
import type { LogLevel } from "../../../rpc/messages.ts";
import { formatDuration } from "../../../text/duration.ts";
import { defineCommand, defineFlags } from "../../args/command.ts";
import { configFlags } from "../../args/flags.ts";
import { person } from "../../output/ask.ts";
import { EXIT } from "../../output/exit-codes.ts";
import { say, show, showExactly, showJson } from "../../output/terminal.ts";
import { Interrupted, onSignals } from "../../process/signals.ts";

export const generators = defineCommand({
  args: defineFlags({
    action: { type: "positional", required: false, description: "test: generate one file, without a mount" },
    path: { type: "positional", required: false, description: "the file to generate, as a path in the mount" },
    ...configFlags,
    json: { type: "boolean", description: "print JSON" },
  }),
  notes: [
    "Lists the generators of a configuration and where they come from, its rules, and the files that exist because of them.",
    "`llmfs generators test PATH` generates one file. It prints the content to standard output, and the rule, metadata and " +
      "time to standard error. The exit status is 90 if the file cannot be generated, 84 if no rule matches it.",
  ],
  async run({ action, path, config, json }) {
    if (action !== undefined && action !== "test") {
      throw new UsageError(`unknown action ${action}; did you mean test?`);
    }
    if (action !== undefined && path === undefined) throw new UsageError("test needs the path of a file");
    await using loaded = await load(await findConfigurations(config, person));
    if (path === undefined) json ? showJson(describe(loaded)) : show(formatTable(loaded));
    else await runTest(loaded, path.startsWith("/") ? path : `/${path}`, json);
    return EXIT.ok.code;
  },
});

/** The nearest configuration that has rules or generators. Throws UserError. */
async function load([nearest, ...others]: readonly ConfigurationFile[]): Promise<LoadedConfig> {
  if (nearest === undefined) {
    throw new UserError("input", `no ${EXPECTED} in the current directory; use --config to name a file`);
  }
  const loaded = await loadGenerators(nearest, { print: say });
  await withLines([loaded], () => readSettings(loaded.file, loaded.description.settings));
  if (others.length === 0 || hasRules(loaded.description)) return loaded;
  await loaded[Symbol.asyncDispose]();
  return await load(others);
}

function describe({ file, generators, rules, plants }: LoadedConfig) {
  return {
    file,
    generators: [
      ...[...generators].map(([name, { from }]) => ({ name, from })),
      // A mount adds it, because it needs a model.
      ...(generators.has(DEFAULT_GENERATOR) ? [] : [{ name: DEFAULT_GENERATOR, from: "built in" }]),
    ],
    rules: rules.all.map(({ name, match, generator, refresh, lists, looksUp }) => ({
      name,
      match: match.source,
      generator,
      refresh: formatRefresh(refresh),
      lists,
      looksUp,
    })),
    exists: plants.map(({ path, type }) => (type === "directory" ? `${path}/` : path)),
  };
}

function formatTable(loaded: LoadedConfig): string {
  const { file, generators, rules, exists } = describe(loaded);
  const width = Math.max(...generators.map(({ name }) => name.length), ...rules.map(({ match }) => match.length));
  const lines = [
    file,
    "",
    "generators",
    ...generators.map(({ name, from }) => `  ${name.padEnd(width)}  ${from}`),
    "",
    "rules (the first match wins)",
    ...rules.map(({ match, generator, refresh, lists, looksUp }) => {
      const how = lists ? ", lists" : looksUp ? ", asked for each name" : "";
      return `  ${match.padEnd(width)}  ${generator}, ${refresh}${how}`;
    }),
    "",
    "entries created by rules",
    ...exists.map((path) => `  ${path}`),
  ];
  return `${lines.join("\n")}\n`;
}

function formatRefresh(refresh: { readonly ms: number; readonly stale: boolean } | undefined): string {
  if (refresh === undefined) return "once";
  return refresh.ms === 0 ? "always" : `${formatDuration(refresh.ms)}${refresh.stale ? ", stale served" : ""}`;
}

async function runTest(loaded: LoadedConfig, path: string, json: boolean): Promise<void> {
  const stop = new AbortController();
  using _ = onSignals(["SIGINT", "SIGTERM"], (name) => stop.abort(new Interrupted(name)));
  const { generator } = loaded.rules.bind(path, DEFAULT_GENERATOR);
  const rule = loaded.rules.all.find(
    ({ match, generator: name }) => name === generator && match.match(path) !== undefined,
  );
  if (generator === DEFAULT_GENERATOR) {
    const why =
      rule === undefined ? "no rule matches it" : `${rule.name} uses the model, which is available only in a mount`;
    throw new UserError("input", `${path}: ${why}; run \`llmfs generators\` to see the rules`);
  }
  const started = performance.now();
  const log = (level: LogLevel, text: string) => (level === "debug" ? undefined : say(`${level}: ${text}`));
  const testing = testGenerator(loaded, path, { signal: stop.signal, log });
  const { bytes, metadata } = await testing.catch((cause: unknown) => {
    if (stop.signal.aborted) throw stop.signal.reason;
    const code = cause instanceof Error && "code" in cause ? ` (${String(cause.code)})` : "";
    throw new UserError("incomplete", `${path}: ${reasonOf(cause, path)}${code}`, { cause });
  });
  const milliseconds = Math.round((performance.now() - started) * 10) / 10;
  const about = {
    path,
    rule: rule === undefined ? undefined : `${rule.name}: ${rule.match.source}`,
    generator,
    bytes: bytes.length,
    milliseconds,
    metadata: Object.fromEntries(metadata),
  };
  if (json) return showJson({ ...about, content: new TextDecoder().decode(bytes) });
  say(`${about.rule ?? "no rule"} → ${generator}; ${bytes.length} bytes in ${milliseconds} ms`);
  for (const [key, value] of metadata) say(`${key}: ${value}`);
  showExactly(bytes);
}
