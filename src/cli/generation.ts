/**
 * Everything that makes content, put together from the configuration: provider, model, recordings, engine.
 *
 * All of it is loaded when it is first needed: a mount without a prompt looks for no server and loads no client.
 */
import type { Generate, TreePort } from "../fs/port.ts";
import type { Log } from "../log.ts";
import type { Config } from "./config.ts";
import type { Progress } from "./progress.ts";

export interface Generation extends AsyncDisposable {
  /** Turns a prompt into a snapshot. Rejects with LlmError, or with the signal's reason. */
  layOut(prompt: string, progress: Progress, signal: AbortSignal): Promise<Uint8Array>;
  /** Makes the content of a file. Works from `attach` on. */
  readonly generate: Generate;
  /** Gives generators the tree they may look at. */
  attach(tree: TreePort): void;
}

export function openGeneration(config: Config, log: Log): Generation {
  throw new Error(`not there yet ${config.mode} ${typeof log}`);
}
