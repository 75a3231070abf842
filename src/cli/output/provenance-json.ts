/** What `llmfs why --json` prints: the facts of the report, without its sentences. docs/json.md explains the members. */
import type { Looking } from "../../app/inspect.ts";
import { DEPENDS, METADATA } from "../../attributes.ts";
import type { Section } from "../../generate/context/prompts.ts";
import { parseDependencies } from "../../generate/depends.ts";
import { LEFT_OUT } from "../../generate/provenance.ts";
import { countTokens } from "../../generate/spending/tokens.ts";
import { parseReasons, REWRITTEN } from "../../generators/builtin/rewritten.ts";
import type { FileInfo } from "../../rpc/tree-port.ts";
import {
  findLeftOut,
  type Live,
  type LiveState,
  listOtherMetadata,
  listPrompts,
  listSettings,
} from "./provenance-report.ts";

/** Members that do not apply are undefined, which JSON leaves out. */
export async function describeProvenance(
  file: FileInfo,
  live: Live,
  looking: Looking,
  now: LiveState = { waitsFor: [], awaitedBy: [] },
): Promise<object> {
  const { path, type, state, size } = file;
  const meta: Live = (name) => live(`meta.${name}`) ?? file.xattrs.get(`${METADATA}${name}`);
  const key = meta("request");
  const common = {
    path,
    type,
    state: now.generating ? "generating" : state,
    size,
    description: file.description || undefined,
    error: live("error"),
    failedRenewal: now.failedRenewal,
    denied: live("denied"),
    waitsFor: orAbsent(now.waitsFor),
    awaitedBy: orAbsent(now.awaitedBy),
  };
  if (type === "directory") return { ...common, settings: Object.fromEntries(listSettings(file)) };
  if (type !== "file") return common;
  const made = {
    generator: meta("generator"),
    model: meta("model"),
    at: meta("at"),
    milliseconds: toNumber(meta("ms")),
    inputTokens: toNumber(meta("input_tokens")),
    outputTokens: toNumber(meta("output_tokens")),
    usd: toNumber(meta("usd")),
    request: key,
    recorded: key === undefined ? undefined : meta("recorded") === "true",
    rewritten: orAbsent(parseReasons(meta(REWRITTEN))),
    metadata: Object.fromEntries(listOtherMetadata(file, Number.POSITIVE_INFINITY)),
  };
  if (state === "static") return { ...common, ...made };
  const { asks, failure, generator } = await looking.foresight.foresee(path);
  return {
    ...common,
    ...made,
    generator: made.generator ?? generator,
    rule: await looking.findRule(file),
    prompts: orAbsent(listPrompts(path, looking)),
    parts: asks && (await countParts(await looking.foresight.sections(path))),
    depends: orAbsent(parseDependencies(path, file.xattrs.get(DEPENDS))),
    leftOut: orAbsent(await findLeftOut(file, state === "ready" ? (meta(LEFT_OUT) ?? "") : undefined, looking)),
    changedSince: state === "ready" ? orAbsent(looking.tree.changedUses(path)) : undefined,
    today: {
      error: failure?.message,
      model: asks?.request.model,
      request: asks?.key,
      recorded: asks && asks.recording !== undefined,
      same: asks && key === undefined ? undefined : asks && asks.key === key,
    },
  };
}

function orAbsent<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

function toNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function countParts(sections: readonly Section[]) {
  return Promise.all(sections.map(async ({ part, why, text }) => ({ part, why, tokens: await countTokens(text) })));
}
