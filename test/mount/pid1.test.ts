/** llmfs as process 1, as the entry point of a container is. */
import { expect, setDefaultTimeout } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { IS_ROOT, LACKING } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, eventually, finished, Sandbox } from "../support/program.ts";

setDefaultTimeout(60_000);

const testInit = testWith(LACKING ?? (IS_ROOT ? programs("unshare", "ps") : "root"));

/** Starts llmfs in a process namespace of its own. */
function start(sandbox: Sandbox, args: readonly string[]) {
  const unshare = ["unshare", "--pid", "--fork", "--mount-proc"];
  return sandbox.start([], { program: [...unshare, ...BINARY, ...args] });
}

/** The id of process 1 as seen from outside. */
async function outerId(unshare: number): Promise<number> {
  const children = () => readFileSync(`/proc/${unshare}/task/${unshare}/children`, "utf8").trim();
  await eventually("llmfs runs", () => children() !== "");
  return Number(children());
}

testInit("as process 1, llmfs leaves no zombies, and keeps the command's status", async () => {
  using sandbox = new Sandbox();
  const script =
    // Each subshell ends before the process that it started, which then becomes a child of process 1.
    "for i in 1 2 3 4 5; do (sleep 0.1 & exec true); done; " +
    'until [ "$(ps -eo comm= | grep -c sleep)" = 0 ]; do sleep 0.1; done; ' +
    "for i in $(seq 100); do ps -eo stat= | grep -q Z || exit 7; sleep 0.1; done; ps -e; exit 8";
  const { status, stdout, stderr } = await finished(start(sandbox, ["run", "--", "sh", "-c", script]));
  expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: "", stderr: "" });
});

testInit("a zombie of a process that llmfs itself started is left to be waited for", async () => {
  using sandbox = new Sandbox();
  const script = "for i in $(seq 20); do (sleep 0.05 & exec true); done; sleep 1; kill -9 $$";
  expect((await finished(start(sandbox, ["run", "--", "sh", "-c", script]))).status).toBe(137);
});

for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
  testInit(`as process 1, llmfs passes ${signal} on to the command, and keeps its status`, async () => {
    using sandbox = new Sandbox();
    const name = signal.slice(3);
    const script = `trap 'echo got ${name}; exit 9' ${name}; touch ${sandbox.at("ready")}; while :; do sleep 0.05; done`;
    const child = start(sandbox, ["run", "--", "sh", "-c", script]);
    await eventually("the command runs", () => existsSync(sandbox.at("ready")));
    process.kill(await outerId(child.pid), signal);
    expect(await finished(child)).toEqual({ status: 9, stdout: `got ${name}\n`, stderr: "" });
  });
}

testInit("as process 1, llmfs ends on SIGTERM before the command has begun", async () => {
  using sandbox = new Sandbox();
  await using server = await openaiServer([{ hang: true }]);
  const model = ["--model", "m", "--base-url", server.baseUrl, "--mode", "off"];
  const child = start(sandbox, ["run", "--prompt", "a tree", ...model, "--", "true"]);
  await server.request(0);
  process.kill(await outerId(child.pid), "SIGTERM");
  expect((await finished(child)).status).toBe(143);
});
