/** Executes command lines of documents in a directory of their own, with the compiled binary and the model of the examples. */
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openaiServer } from "../support/openai-server.ts";
import { BINARY, Sandbox } from "../support/program.ts";
import { type CommandLine, type NamedFile, ROOT, where } from "./markdown.ts";
import { answerRequest, MODELS } from "./model.ts";
import { compareOutput } from "./output.ts";
import type { Scene } from "./scenes.ts";
import { type Ran, runSteps, type Step } from "./shell.ts";

/** Many times as long as it takes. */
export const DEADLINE_MS = 150_000;

/** A step, and what it is there for: a line of the document, or a part of its scene. */
interface Planned extends Step {
  readonly of: CommandLine | string;
  readonly status?: number;
}

/** Returns what is wrong, each with the document and the line. */
export async function execute(
  items: readonly (CommandLine | NamedFile)[],
  scene: Scene,
  milliseconds = DEADLINE_MS,
): Promise<string[]> {
  using sandbox = new Sandbox();
  const usage = scene.usage ?? { prompt_tokens: 100, completion_tokens: 20 };
  await using server = await openaiServer([(request) => answerRequest(request, usage)], MODELS);
  const bin = sandbox.directory("bin");
  const here = sandbox.directory("here");
  symlinkSync(BINARY[0] ?? "", join(bin, "llmfs"));
  const { steps, unused } = plan(items, scene, sandbox);
  const environment = sandbox.environment();
  const ran = await runSteps(steps, {
    cwd: here,
    scratch: sandbox.directory("steps"),
    env: {
      ...environment,
      PATH: `${bin}:${environment.PATH}`,
      LC_ALL: "C.UTF-8",
      LLMFS_TRUST: "",
      OPENAI_BASE_URL: server.baseUrl,
      OPENAI_API_KEY: "k",
      // For the scenes.
      ROOT,
      BINARY: BINARY[0] ?? "",
      HERE: here,
      ...scene.env,
    },
    ...(scene.shell && { shell: scene.shell }),
    milliseconds,
  });
  return [
    ...steps.flatMap((step, index) => complain(step, ran[index], scene)),
    ...unused.map((one) => `the scene has "${one}", which is in no line`),
  ];
}

function plan(items: readonly (CommandLine | NamedFile)[], scene: Scene, sandbox: Sandbox) {
  const { given, before = {}, replaced = {}, words = {}, follows = [], statuses = {} } = scene;
  const steps: Planned[] = given === undefined ? [] : [{ of: "given", text: `set -e\n${given}set +e` }];
  const used = new Set<string>();
  const find = <T>(table: Readonly<Record<string, T>>, text: string): T | undefined => {
    const found = Object.entries(table).find(([beginning]) => text.startsWith(beginning));
    if (found !== undefined) used.add(found[0]);
    return found?.[1];
  };
  for (const item of items) {
    if ("name" in item) {
      const source = sandbox.at(`block${item.line}`);
      writeFileSync(source, item.text);
      const name = item.name.replace(/^\//, "");
      steps.push({ of: where(item), text: `mkdir -p "$(dirname ${name})" && cp ${source} ${name}` });
      continue;
    }
    if (scene.beforeEach !== undefined) steps.push({ of: `before ${where(item)}`, text: scene.beforeEach(item.text) });
    const preparation = find(before, item.text);
    if (preparation !== undefined) steps.push({ of: `before ${where(item)}`, text: preparation });
    const text = substitute(item.text, words, used);
    const by = find(replaced, item.text)?.by ?? text;
    const endless = find(Object.fromEntries(follows.map((one) => [one, true])), item.text) ?? false;
    steps.push({
      of: item,
      text: typeof by === "function" ? by(text) : by,
      status: find(statuses, item.text) ?? 0,
      ...(endless && { follow: item.output?.length ?? 1 }),
    });
  }
  if (scene.finally !== undefined) steps.push({ of: "finally", text: scene.finally });
  const named = [...Object.keys({ ...words, ...before, ...replaced, ...statuses }), ...follows];
  return { steps, unused: named.filter((one) => !used.has(one)) };
}

function substitute(text: string, words: Readonly<Record<string, string>>, used: Set<string>): string {
  let replaced = text;
  for (const [word, value] of Object.entries(words)) {
    const pattern = new RegExp(`(?<![\\w-])${word.replace(/[.*+?^$(){}|[\]\\]/g, "\\$&")}(?![\\w-])`, "g");
    if (pattern.test(replaced)) used.add(word);
    replaced = replaced.replace(pattern, () => value);
  }
  return replaced;
}

function complain({ of, text, status: expected = 0 }: Planned, ran: Ran | undefined, scene: Scene): string[] {
  const at = typeof of === "string" ? of : where(of);
  if (ran === undefined || ran.status === null)
    return [`${at}: not executed, since an earlier line did not end: ${text}`];
  const { status, stdout, stderr } = ran;
  if (status === undefined) return [`${at}: does not end: ${text}\n${stdout}${stderr}`];
  if (status !== expected) return [`${at}: exits with status ${status}: ${text}\n${stdout}${stderr}`];
  if (typeof of === "string" || of.output === undefined) return [];
  const difference = compareOutput(of.output, stdout, scene.varying ?? []);
  return difference === undefined
    ? []
    : [`${at}: prints something else than the document shows: ${text}\n${difference}`];
}
