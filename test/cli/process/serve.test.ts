import { afterEach, beforeEach, expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openGeneration } from "../../../src/app/generation.ts";
import { type Config, readConfig } from "../../../src/app/settings/settings.ts";
import { createProgress } from "../../../src/cli/output/progress.ts";
import { mountAndServe, openLog } from "../../../src/cli/process/serve.ts";
import { Interrupted } from "../../../src/cli/process/signals.ts";
import { withTemporaryMount } from "../../../src/cli/process/temporary-mount.ts";
import { mounting, testWith } from "../../support/needs.ts";
import { mountedType, Sandbox } from "../../support/program.ts";

const test = testWith(mounting());

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox[Symbol.dispose]());

/** A configuration that notifies its owner when the mount has just been made and has not been reported. */
function config(mounted: () => void): Config {
  return {
    ...readConfig({ logFile: "-", save: sandbox.at("tree.json") }, { HOME: sandbox.path }),
    // The first setting that is read once there is a tree that can be saved.
    get saveEveryMs() {
      mounted();
      return undefined;
    },
  };
}

test("a mount that is cancelled as soon as it is made is never reported as ready, and is removed", async () => {
  const mountpoint = sandbox.directory("mnt");
  const unwanted = new AbortController();
  const seen: string[] = [];
  const status = await mountAndServe({
    config: config(() => {
      seen.push(mountedType(mountpoint) ?? "nothing");
      unwanted.abort(new Interrupted("SIGTERM"));
    }),
    mountpoint,
    terminalLevel: "error",
    signal: unwanted.signal,
    ready() {
      seen.push("ready");
      process.kill(process.pid, "SIGTERM");
    },
  });
  expect([status, seen, mountedType(mountpoint)]).toEqual([143, ["fuse.llmfs"], undefined]);
});

test("a mount whose owner fails once it is made is saved and removed before the failure is reported", async () => {
  const mountpoint = sandbox.directory("mnt");
  const served = mountAndServe({
    config: config(() => {}),
    mountpoint,
    terminalLevel: "error",
    ready() {
      writeFileSync(join(mountpoint, "kept.txt"), "written in the mount");
      throw new Error("nobody can be told");
    },
  });
  expect(await served.catch((error) => error)).toEqual(new Error("nobody can be told"));
  expect(mountedType(mountpoint)).toBeUndefined();
  expect(readFileSync(sandbox.at("tree.json"), "utf8")).toContain("written in the mount");
});

test("a temporary mount that is cancelled as soon as it is made is not used, and is removed", async () => {
  const progress = createProgress();
  const interrupted = new AbortController();
  const asked = config(() => interrupted.abort(new Interrupted("SIGINT")));
  const log = openLog(asked, "error", progress);
  const seen: string[] = [];
  const used = withTemporaryMount(
    { config: asked, generation: openGeneration(asked, log), log, progress, signal: interrupted.signal },
    async (mountpoint) => {
      seen.push(mountpoint);
    },
  );
  expect(await used.catch((error) => error)).toEqual(new Interrupted("SIGINT"));
  expect(seen).toEqual([]);
});
