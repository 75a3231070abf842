/** Runs a single generator without a mount. */

import { createEngine } from "../../src/generate/engine.ts";
import { type LoadedConfig, loadConfig } from "../../src/generators/config/load.ts";
import type { GenerationRequest } from "../../src/rpc/generation.ts";
import type { TreePort } from "../../src/rpc/tree-port.ts";
import { opened, scriptedModel } from "./scripted-model.ts";
import { type PlainTree, treePort } from "./tree-port.ts";

export interface Loaded extends AsyncDisposable {
  readonly config: LoadedConfig;
  readonly log: string[];
  /** What a reader of the path gets. */
  bytes(path: string, signal?: AbortSignal, more?: Partial<GenerationRequest>): Promise<Uint8Array>;
  text(path: string, signal?: AbortSignal): Promise<string>;
  /** Paths below a directory that a generator lists. */
  list(path: string, generator: string): Promise<readonly string[]>;
}

/** A configuration, and an engine that uses it. */
export async function loaded(
  file: string,
  environment: Readonly<Record<string, string>> = {},
  tree: PlainTree = {},
  read?: TreePort["read"],
  mountpoint?: string,
  idleMs?: number,
): Promise<Loaded> {
  const log: string[] = [];
  const config = await loadConfig(
    { file },
    {
      environment: { PATH: process.env.PATH, HOME: "/", ...environment },
      print: (line) => void log.push(line),
      ...(mountpoint !== undefined && { mountpoint }),
      ...(idleMs !== undefined && { idleMs }),
    },
  );
  const port = treePort(tree, read);
  const engine = createEngine({
    openModel: opened(scriptedModel()),
    tree: port,
    generators: new Map([...config.generators].map(([name, { generator }]) => [name, generator])),
    rules: config.rules,
    log: (level, text) => void log.push(`${level}: ${text}`),
  });
  const never = new AbortController().signal;
  const bytes = async (path: string, signal = never, more: Partial<GenerationRequest> = {}) => {
    const xattrs = new Map<string, string>();
    const file = { path, type: "file", state: "pending", mode: 0o644, uid: 0, gid: 0, xattrs } as const;
    const request = { ticket: 1, ino: 99, path, generator: "llm", file, prompts: [], pause: 0, ...more };
    return (await engine.generate(request, signal)).bytes;
  };
  return {
    config,
    log,
    bytes,
    text: async (path, signal) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(await bytes(path, signal)),
    async list(path, generator) {
      const { entries } = await engine.list({ ticket: 1, ino: 98, path, generator, pause: 0 }, never);
      return entries.map((entry) => entry.path);
    },
    async [Symbol.asyncDispose]() {
      await config[Symbol.asyncDispose]();
    },
  };
}
