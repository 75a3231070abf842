import type { Foreseen } from "../../generate/foresight.ts";
import type { FileInfo } from "../../generators/generator.ts";
import { firstDifference } from "../../recording/miss.ts";
import { command, flags } from "../command.ts";
import { EXIT } from "../exit.ts";
import { quietLog } from "../foreground.ts";
import { type Looking, lookAt } from "../looking.ts";
import { fileXattr, mountedFile } from "../mounted.ts";
import { lookFlags } from "../options.ts";
import { show } from "../terminal.ts";

export const why = command({
  args: flags({
    path: { type: "positional", required: true, description: "a file in a mount; with --from, a path in the snapshot" },
    from: { type: "string", valueHint: "FILE", description: "a snapshot to look into, instead of a mount" },
    ...lookFlags,
  }),
  notes: ["Who wrote the file, what it was made from, what that cost, and whether the same would be asked for today."],
  async run(args) {
    await using log = quietLog();
    const path = args.from === undefined ? mountedFile(args.path).path : `/${args.path.replace(/^\/+/, "")}`;
    await using looking = await lookAt(args.from ? { snapshot: args.from } : { mounted: args.path }, args, log);
    const file = await looking.tree.stat(path);
    const live = (name: string) => (args.from === undefined ? fileXattr(args.path, `user.llmfs.${name}`) : undefined);
    show(`${(await story(file, live, looking)).join("\n")}\n`);
    return EXIT.ok.code;
  },
});

type Live = (name: string) => string | undefined;

async function story(file: FileInfo, live: Live, looking: Looking): Promise<readonly string[]> {
  const { path, state = file.type } = file;
  const meta = (name: string) => live(`meta.${name}`) ?? file.xattrs.get(`user.llmfs.meta.${name}`);
  const size = file.size === undefined ? "" : `, ${file.size} bytes`;
  const lines = [`${path}: ${state}${size}`];
  const add = (name: string, value: string | undefined) => {
    if (value !== undefined && value !== "") lines.push(`${name.padEnd(12)} ${value}`);
  };
  if (file.description !== undefined) add("described", file.description);
  add("failed", live("error"));
  if (state === "static" || file.type !== "file") {
    add(
      "made by",
      file.type === "file" ? "somebody who wrote it; no generator is asked" : "nobody: it has no content of its own",
    );
    const maker = file.type === "file" ? meta("generator") : undefined;
    if (maker !== undefined) {
      add("before", [`made by ${maker}`, meta("model"), when(meta)].filter((part) => part !== undefined).join(", "));
      add("request", request(meta("request"), meta("recorded") === "true"));
    }
    return lines;
  }
  const foreseen = await looking.foresight.foresee(path);
  const chosen = file.xattrs.get("user.llmfs.generator");
  add(
    "made by",
    `${meta("generator") ?? foreseen.generator}${chosen === undefined ? "" : ", as user.llmfs.generator says"}`,
  );
  add("when", when(meta));
  add("model", model(meta("model"), foreseen, looking));
  add("tokens", tokens(meta));
  add("request", request(meta("request"), meta("recorded") === "true"));
  add("told", await told(path, foreseen, looking));
  add("depends on", file.xattrs.get("user.llmfs.depends")?.trim().split("\n").join(", "));
  add("today", await today(meta("request"), foreseen, looking));
  return lines;
}

type Meta = (name: string) => string | undefined;

function when(meta: Meta): string | undefined {
  const [at, ms] = [meta("at"), meta("ms")];
  return at === undefined ? undefined : `${at}${ms === undefined ? "" : `, in ${ms} ms`}`;
}

function model(answered: string | undefined, { path, asks }: Foreseen, { tree }: Looking): string | undefined {
  if (asks === undefined) return answered;
  const [nearest] = tree.settings(path, "model");
  const from = nearest === undefined ? "" : ` (user.llmfs.model of ${nearest.from})`;
  const named = answered === undefined || answered === asks.request.model ? "" : `; ${answered} answered`;
  return `${asks.request.model}${from}${named}`;
}

function tokens(meta: Meta): string | undefined {
  const [sent, received, usd] = [meta("input_tokens"), meta("output_tokens"), meta("usd")];
  if (sent === undefined || received === undefined) return undefined;
  return `${sent} sent, ${received} received${usd === undefined ? "" : `, $${usd}`}`;
}

function request(key: string | undefined, recorded: boolean): string | undefined {
  return key === undefined ? undefined : `${key}, ${recorded ? "answered from a recording" : "answered by the server"}`;
}

/** The parts of the request, without their texts. */
async function told(path: string, { asks }: Foreseen, { foresight }: Looking): Promise<string | undefined> {
  if (asks === undefined) return undefined;
  const sections = await foresight.sections(path);
  return sections.map(({ part, why }) => `${part} (${why})`).join(", ");
}

/** Whether the content is still what would be asked for. */
async function today(made: string | undefined, { asks, failure }: Foreseen, { store }: Looking): Promise<string> {
  if (failure !== undefined) return `it cannot be made: ${failure.message}`;
  if (asks === undefined) return "no model is asked";
  const held = asks.recording === undefined ? "not recorded" : "recorded";
  if (made === undefined) return `${asks.request.model} is asked when it is first read; the answer is ${held}`;
  if (made === asks.key) return `the same request; the answer is ${held}`;
  const before = await store?.get(made, asks.recording?.label);
  const difference = before === undefined ? "" : `: ${firstDifference(before.request, asks.request)}`;
  return `another request, ${asks.key.slice(0, 16)}…${difference}`;
}
