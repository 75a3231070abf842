/** The report of `llmfs why`: where the content of a file comes from. It always fits on a screen. */

import type { Looking } from "../../app/inspect.ts";
import { attribute, DEPENDS, GENERATOR, METADATA, MODEL, ORIGIN } from "../../attributes.ts";
import { isMissingError } from "../../generate/context/dependencies.ts";
import type { Section } from "../../generate/context/prompts.ts";
import { parseDependencies } from "../../generate/depends.ts";
import { LEFT_OUT } from "../../generate/provenance.ts";
import { countTokens } from "../../generate/spending/tokens.ts";
import { parseReasons, REWRITTEN } from "../../generators/builtin/rewritten.ts";
import { rulesOf } from "../../generators/config/rule-summary.ts";
import type { Foreseen } from "../../offline/dry-run.ts";
import type { OfflineTree } from "../../offline/offline-tree.ts";
import { describeDifference } from "../../recording/explain-miss.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import type { DetailedEntry, FailedRenewal, FileInfo, TreeEntry } from "../../rpc/tree-port.ts";
import { describeFailedRenewal } from "./tree-report.ts";

/** Reads an attribute from the mount, if there is one. Snapshots omit attributes that differ between runs. */
export type Live = (name: string) => string | undefined;

const WIDTH = 80;
const NAME = 13;
/** The maximum number of parts of a request to list. Further parts are only counted. */
const MOST_PARTS = 12;
const MOST_LINES = 3;

/** What the mount knows about a file at the moment: the files that wait for each other, by path, and a failure. */
export interface LiveState {
  readonly waitsFor: readonly string[];
  readonly awaitedBy: readonly string[];
  /** Whether the file itself is being generated. A snapshot of the tree calls it pending. */
  readonly generating?: boolean;
  readonly failedRenewal?: FailedRenewal | undefined;
}

/** Why the last attempt to renew what is at a path failed. `entries`: those of `.llmfs/tree.json`. */
export function failedRenewalOf(path: string, entries: readonly DetailedEntry[]): FailedRenewal | undefined {
  return entries.find((entry) => entry.path === path)?.failedRenewal;
}

/** `pending`: all files without content. */
export function waitsOf(path: string, pending: readonly PendingFile[]): LiveState {
  const own = pending.find((one) => one.path === path);
  return {
    generating: own?.state === "generating",
    waitsFor: own?.waitsFor ?? [],
    awaitedBy: pending.filter(({ waitsFor }) => waitsFor?.includes(path)).map((one) => one.path),
  };
}

export async function reportProvenance(
  file: FileInfo,
  live: Live,
  looking: Looking,
  now: LiveState = { waitsFor: [], awaitedBy: [] },
): Promise<readonly string[]> {
  const { path, state = file.type } = file;
  const lines = [
    `${path}: ${now.generating ? "generating" : state}${file.size === undefined ? "" : `, ${file.size} bytes`}`,
  ];
  const add = (name: string, value: string | undefined, most = MOST_LINES) => {
    if (value !== undefined && value !== "") lines.push(...formatParagraph(name, value, most));
  };
  const meta: Live = (name) => live(`meta.${name}`) ?? file.xattrs.get(`${METADATA}${name}`);
  add("described", file.description);
  add("failed", now.failedRenewal === undefined ? live("error") : describeFailedRenewal(now.failedRenewal), 6);
  add("denied", live("denied"), 6);
  add("waits for", now.waitsFor.join(", "));
  add("awaited by", now.awaitedBy.join(", "));
  if (file.type === "directory") {
    for (const [name, value] of listSettings(file)) add(name, value);
    add("made by", "nobody: it has no content of its own");
    add("below", summarizeBelow(path, looking.tree));
    return lines;
  }
  if (state === "static" || file.type !== "file") {
    const written = file.type === "file";
    add(
      "made by",
      written ? "a user or program that wrote it; no generator is used" : "nobody: it has no content of its own",
    );
    const maker = written ? meta("generator") : undefined;
    if (maker !== undefined) {
      add(
        "before",
        [`made by ${maker}`, meta("model"), formatMoment(meta)].filter((part) => part !== undefined).join(", "),
      );
      add("request", request(meta("request"), meta("recorded") === "true"));
    }
    return lines;
  }
  const foreseen = await looking.foresight.foresee(path);
  const rule = await looking.findRule(file);
  // The attribute of a file that a rule has created is the rule's.
  const chosen = file.xattrs.has(GENERATOR) && !(rule !== undefined && file.xattrs.has(ORIGIN));
  const generator = meta("generator") ?? foreseen.generator;
  add("made by", `${generator}${chosen ? `, set by ${GENERATOR}` : ""}`);
  add("rule", rule, 6);
  add("when", formatMoment(meta));
  add("model", describeModel(meta("model"), foreseen, looking));
  add("settings", describeRequest(foreseen, looking.tree));
  add("tokens", describeTokens(meta));
  add("request", request(meta("request"), meta("recorded") === "true"));
  add("history", describeRewriting(parseReasons(meta(REWRITTEN))), 6);
  for (const [name, value] of listOtherMetadata(file)) add(name, value, 1);
  lines.push(...formatPrompts(path, looking));
  if (foreseen.asks !== undefined) lines.push(...(await describeSections(await looking.foresight.sections(path))));
  add(
    "depends on",
    file.xattrs
      .get(DEPENDS)
      ?.split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .join(", "),
  );
  add("left out", await describeLeftOut(file, state === "ready" ? (meta(LEFT_OUT) ?? "") : undefined, looking));
  const changed = state === "ready" ? looking.tree.changedUses(path) : [];
  if (changed.length > 0) add("outdated", `it was written before these changed: ${changed.join(", ")}`);
  if (now.generating) add("today", "a request for it is under way; a read waits for that");
  else add("today", await describeFreshness(state, meta("request"), foreseen, looking), 6);
  return lines;
}

/** Formats a name with a wrapped text to its right. A text with too many lines is cut. */
function formatParagraph(name: string, text: string, most: number): readonly string[] {
  const room = WIDTH - NAME;
  const lines: string[] = [];
  for (let rest = toOneLine(text); rest !== ""; ) {
    if (lines.length === most - 1 && rest.length > room) {
      lines.push(`${rest.slice(0, room - 1)}…`);
      break;
    }
    const space = rest.length <= room ? rest.length : rest.lastIndexOf(" ", room);
    const end = space > room / 2 || rest.length <= room ? space : room;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return lines.map((line, index) => `${(index === 0 ? name : "").padEnd(NAME)}${line}`);
}

function toOneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}

export function listSettings({ xattrs }: FileInfo): readonly (readonly [name: string, value: string])[] {
  const names = ["prompt", "model", "temperature", "max-tokens", "generator", "refresh"] as const;
  return names.flatMap((name) => {
    const value = xattrs.get(attribute(name));
    return value === undefined || value === "" ? [] : [[name, value] as const];
  });
}

function summarizeBelow(path: string, { files }: OfflineTree): string {
  const inside = files.filter((file) => path === "/" || file.path.startsWith(`${path}/`));
  const counts = Map.groupBy(inside, ({ state = "static" }: TreeEntry) => state);
  const parts = [...counts].map(([state, some]) => `${some.length} ${state}`).sort();
  return inside.length === 0 ? "no files" : `${inside.length} files: ${parts.join(", ")}`;
}

function formatMoment(meta: Live): string | undefined {
  const [moment, ms] = [meta("at"), meta("ms")];
  return moment === undefined ? undefined : `${moment}${ms === undefined ? "" : `, in ${ms} ms`}`;
}

function describeModel(answered: string | undefined, { path, asks }: Foreseen, { tree }: Looking): string | undefined {
  if (asks === undefined) return answered;
  const [nearest] = tree.settings(path, "model");
  const from = nearest === undefined ? "" : ` (${MODEL} of ${nearest.from})`;
  const named = answered === undefined || answered === asks.request.model ? "" : `; ${answered} answered`;
  return `${asks.request.model}${from}${named}`;
}

function describeRequest({ path, asks }: Foreseen, tree: OfflineTree): string | undefined {
  if (asks === undefined) return undefined;
  return (["temperature", "max-tokens"] as const)
    .flatMap((name) =>
      tree
        .settings(path, name)
        .slice(0, 1)
        .map(({ from, value }) => `${name} ${value} (of ${from})`),
    )
    .join(", ");
}

/** The files that it depends on and that do not exist. `noted`: those that did not when it was generated. */
export async function findLeftOut(
  { path, xattrs }: FileInfo,
  noted: string | undefined,
  { tree, about }: Looking,
): Promise<readonly string[]> {
  const rules = about.rules && rulesOf(about.rules);
  const left: string[] = [];
  for (const one of parseDependencies(path, noted ?? xattrs.get(DEPENDS))) {
    const missing = noted !== undefined || (await tree.port.readStatic(one, 1).then(() => false, isMissingError));
    if (missing && rules?.makes(one) !== true) left.push(one);
  }
  return left;
}

async function describeLeftOut(file: FileInfo, noted: string | undefined, looking: Looking) {
  const left = await findLeftOut(file, noted, looking);
  if (left.length === 0) return undefined;
  const them = left.length === 1 ? "it" : "them";
  return noted === undefined
    ? `${left.join(", ")}: no such file; unless you correct ${DEPENDS}, it is generated without ${them}`
    : `${left.join(", ")}: there was no such file; to use another one, correct ${DEPENDS} and run "llmfs regen"`;
}

function describeRewriting(reasons: readonly string[]): string | undefined {
  if (reasons.length === 0) return undefined;
  const times = reasons.length === 1 ? "once" : reasons.length === 2 ? "twice" : `${reasons.length} times`;
  const each = reasons.length === 1 ? reasons : reasons.map((reason, index) => `(${index + 1}) ${reason}`);
  return `written again ${times}, because a check failed: ${each.join(" ")}`;
}

function describeTokens(meta: Live): string | undefined {
  const [sent, received, usd] = [meta("input_tokens"), meta("output_tokens"), meta("usd")];
  if (sent === undefined || received === undefined) return undefined;
  return `${sent} sent, ${received} received${usd === undefined ? "" : `, $${usd}`}`;
}

function request(key: string | undefined, recorded: boolean): string | undefined {
  return key === undefined ? undefined : `${key}, ${recorded ? "answered from a recording" : "answered by the server"}`;
}

const KNOWN = new Set([
  "generator",
  "at",
  "ms",
  "model",
  "input_tokens",
  "output_tokens",
  "usd",
  "request",
  "recorded",
  REWRITTEN,
  LEFT_OUT,
  "used",
]);
const MOST_OTHERS = 5;

/** Further metadata from the generator. */
export function listOtherMetadata(
  { xattrs }: FileInfo,
  most = MOST_OTHERS,
): readonly (readonly [name: string, value: string])[] {
  const all = [...xattrs].filter(([name]) => name.startsWith(METADATA) && !KNOWN.has(name.slice(METADATA.length)));
  return all.slice(0, most).map(([name, value]) => [name.slice(METADATA.length), value]);
}

/** The prompts that apply to a path, and the flag or the path that each one is from. */
export function listPrompts(path: string, { tree, about }: Looking): readonly { from: string; text: string }[] {
  return [
    ...(about.contentPrompt === undefined ? [] : [{ from: "--content-prompt", text: about.contentPrompt }]),
    ...tree
      .settings(path, "prompt")
      .toReversed()
      .map(({ from, value }) => ({ from, text: value })),
  ];
}

function formatPrompts(path: string, looking: Looking): readonly string[] {
  const all = listPrompts(path, looking).map(({ from, text }) => `${from}: ${text}`);
  const shown = all.slice(-MOST_PARTS / 2);
  const left = all.length - shown.length;
  const lines = shown.map((text, index) => formatParagraph(index === 0 ? "prompts" : "", text, 1));
  return [
    ...lines.flat(),
    ...(left > 0 ? formatParagraph("", `and ${left} more, from directories further up`, 1) : []),
  ];
}

/** Lists the parts of the request without their text: how long each one is, and why it is there. */
async function describeSections(sections: readonly Section[]): Promise<readonly string[]> {
  const parts = await Promise.all(
    sections.map(async ({ part, why, text }) => ({ part, why, tokens: await countTokens(text) })),
  );
  const sum = parts.reduce((all, { tokens }) => all + tokens, 0);
  const [task, ...before] = parts.toReversed();
  const shown = before.toReversed().slice(0, MOST_PARTS - 1);
  const left = before.length - shown.length;
  const lines = [...shown, ...(task === undefined ? [] : [task])].map(({ part, why, tokens }) => {
    const line = `${String(tokens).padStart(NAME - 2)}  ${part}: ${why}`;
    return line.length <= WIDTH ? line : `${line.slice(0, WIDTH - 1)}…`;
  });
  if (left > 0) lines.splice(-1, 0, `${"…".padStart(NAME - 2)}  and ${left} more files`);
  return [...formatParagraph("sent", `about ${sum} tokens, not counting the instructions:`, 1), ...lines];
}

/** Reports whether the same request would be sent now. */
async function describeFreshness(
  state: string,
  made: string | undefined,
  { asks, failure }: Foreseen,
  { store }: Looking,
): Promise<string> {
  if (failure !== undefined) return `it cannot be generated: ${failure.message}`;
  if (asks === undefined) return "no model is used";
  const held = asks.recording === undefined ? "not recorded" : "recorded";
  // Without recordings, the original request is not stored anywhere.
  if (made === undefined && state === "ready") return `the content is kept; regen would ask ${asks.request.model}`;
  if (made === undefined) return `the first read will ask ${asks.request.model}; the answer is ${held}`;
  if (made === asks.key) return `the same request; the answer is ${held}`;
  const before = await store?.get(made, asks.recording?.label);
  const difference = before === undefined ? "" : `: ${describeDifference(before.request, asks.request)}`;
  return `a different request, ${asks.key.slice(0, 16)}…${difference}`;
}
