/** The tasks of a helper process: loads a configuration, runs its generators, queries SQLite. */
import { readFileSync } from "node:fs";
import { FsError } from "../../errno.ts";
import type { BuiltIn } from "../config/config.ts";
import { provideLlmfs } from "../config/llmfs-module.ts";
import { isRecord } from "../config/options.ts";
import { explainSyntaxError } from "../config/syntax.ts";
import type { ContentGenerator, GeneratorContext, ListContext, ListedEntry } from "../contract.ts";
import { formatJsonFile, kindOf } from "../formats/json.ts";
import { type ConfigurationFile, requireTrusted } from "../trusted-content.ts";
import type { Conversation } from "./child.ts";
import { guardImports } from "./imports.ts";
import {
  type Description,
  type GeneratedHead,
  type OwnGenerator,
  PIECE_BYTES,
  type PlainContext,
  type Task,
} from "./messages.ts";

const own = new Map<string, ContentGenerator>();

export async function runTask(task: Task, conversation: Conversation): Promise<unknown> {
  switch (task.task) {
    case "load":
      return load(task.configuration);
    case "validate":
      return requireGenerator(task.generator).validate?.(task.options);
    case "generate":
      return generate(requireGenerator(task.generator), task, conversation);
    case "list":
      return list(requireGenerator(task.generator), task, conversation);
    case "sqlite": {
      const { querySqlite } = await import("./sqlite.ts");
      return querySqlite(task.query, conversation);
    }
    case "template": {
      const { renderTemplate } = await import("./templates.ts");
      return renderTemplate(task, conversation);
    }
    case "page": {
      const { tellPage } = await import("./documents.ts");
      return tellPage(task.question, conversation);
    }
    case "indent": {
      const { tellIndented } = await import("./documents.ts");
      return tellIndented(conversation);
    }
    case "dispose":
      return dispose();
  }
}

async function load(configuration: ConfigurationFile): Promise<Description> {
  const { file } = configuration;
  provideLlmfs();
  guardImports(file);
  requireTrusted(configuration, () => readFileSync(file));
  const module: unknown = await importModule(file);
  const config = isRecord(module) ? module.default : undefined;
  if (!isRecord(config)) throw new Error(`${file} has no default export with settings, generators and rules`);
  const { generators = {}, rules, ...settings } = config;
  if (!isRecord(generators)) throw new Error(`${file}: "generators" must be an object`);
  const described = Object.entries(generators).map(([name, value]) => [name, describe(name, value, file)]);
  const [member] = Object.entries(settings).find(([, value]) => !isPlain(value)) ?? [];
  if (member !== undefined) throw new Error(`${file}: ${member}: must be plain data, without functions or the like`);
  return { generators: Object.fromEntries(described), rules: toPlainRules(rules, file), settings };
}

async function importModule(file: string): Promise<unknown> {
  try {
    return await import(file);
  } catch (cause) {
    const fault = explainSyntaxError(cause);
    throw fault === undefined ? cause : new Error(fault, { cause });
  }
}

function describe(name: string, value: unknown, file: string): OwnGenerator | { readonly builtIn: BuiltIn } {
  if (isBuiltIn(value)) return { builtIn: value };
  if (!isGenerator(value)) {
    throw new Error(`${file}: the generator ${JSON.stringify(name)} is ${kindOf(value)} without a "generate" method`);
  }
  own.set(name, value);
  const { match = [] } = value;
  return {
    lists: value.list !== undefined,
    validates: value.validate !== undefined,
    match: typeof match === "string" ? [match] : match,
  };
}

/** Rules as data: anything else cannot leave this process. */
function toPlainRules(rules: unknown, file: string): unknown {
  for (const [index, rule] of Array.isArray(rules) ? rules.entries() : []) {
    if (!isRecord(rule)) continue;
    const name = `${file}: rule ${index + 1}`;
    if (typeof rule.generator === "object" || typeof rule.generator === "function") {
      throw new Error(
        `${name}: "generator" is ${kindOf(rule.generator)}; give it a name in "generators", and write that name here`,
      );
    }
    const [member] = Object.entries(rule).find(([, value]) => !isPlain(value)) ?? [];
    if (member !== undefined) throw new Error(`${name}: "${member}" must be plain data, without functions or the like`);
  }
  try {
    return structuredClone(rules);
  } catch (cause) {
    throw new Error(`${file}: "rules" must be plain data: ${String(cause)}`, { cause });
  }
}

function isPlain(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

async function generate(
  generator: ContentGenerator,
  { path, context }: Extract<Task, { task: "generate" | "list" }>,
  conversation: Conversation,
): Promise<unknown> {
  // The caller knows which file the message is about.
  const origin = "it";
  const result: unknown = await generator.generate(path, contextOf(context, conversation));
  if (isRecord(result) && result.unchanged === true) return { unchanged: true } satisfies GeneratedHead;
  if (!isRecord(result) || !("content" in result)) throw new FsError("EIO", `${origin} did not return { content }`);
  const { metadata, content } = result;
  const head: GeneratedHead = { unchanged: false, metadata: keepMetadata(metadata, conversation) };
  conversation.result(head);
  if (content instanceof Uint8Array) return conversation.piece(content);
  if (content instanceof Blob) return sendStream(content.stream(), origin, conversation);
  if (isAsyncIterable(content)) return sendStream(content, origin, conversation);
  return sendText(typeof content === "string" ? content : formatJsonFile(content, origin), conversation);
}

/** A long string is encoded piece by piece, so that its bytes are never in memory in addition to it. */
async function sendText(content: string, { piece }: Conversation): Promise<void> {
  const encoder = new TextEncoder();
  for (let at = 0; at < content.length; ) {
    let end = Math.min(content.length, at + PIECE_BYTES);
    // Not between the halves of a surrogate pair.
    if (end < content.length && /[\ud800-\udbff]/.test(content.charAt(end - 1))) end -= 1;
    await piece(encoder.encode(content.slice(at, end)));
    at = end;
  }
}

async function sendStream(pieces: AsyncIterable<unknown>, origin: string, conversation: Conversation): Promise<void> {
  let collected: Uint8Array[] = [];
  let length = 0;
  const flush = async () => {
    const bytes = Buffer.concat(collected);
    collected = [];
    length = 0;
    await conversation.piece(bytes);
  };
  for await (const one of pieces) {
    conversation.signal.throwIfAborted();
    if (typeof one !== "string" && !(one instanceof Uint8Array)) {
      throw new FsError("EIO", `${origin} streamed ${kindOf(one)}; expected text or bytes`);
    }
    const bytes = typeof one === "string" ? new TextEncoder().encode(one) : new Uint8Array(one);
    collected.push(bytes);
    length += bytes.length;
    if (length >= PIECE_BYTES) await flush();
  }
  await flush();
}

/**
 * A listing is sent in one piece: the limits are more entries than any directory has, and the characters of their
 * paths.
 */
const MOST_LISTED = 1_000_001;
const LONGEST_LISTED = 128 * 1024 * 1024;

async function list(
  generator: ContentGenerator,
  { path, context }: Extract<Task, { task: "generate" | "list" }>,
  conversation: Conversation,
): Promise<readonly ListedEntry[]> {
  if (generator.list === undefined) throw new FsError("EIO", "it has no list method");
  const { options, match, outline, list, read, working, signal, log } = contextOf(context, conversation);
  const about: ListContext = {
    ...{ options, outline, list, read, signal, log },
    ...(match !== undefined && { match }),
    ...(working !== undefined && { working }),
  };
  const entries: ListedEntry[] = [];
  let length = 0;
  for await (const one of await generator.list(path, about)) {
    const entry: unknown = typeof one === "string" ? { path: one } : one;
    if (!isRecord(entry) || typeof entry.path !== "string") {
      throw new FsError("EIO", `it listed ${kindOf(one)}; expected a name or { path }`);
    }
    length += entry.path.length;
    if (entries.length >= MOST_LISTED || length > LONGEST_LISTED)
      throw new FsError("EFBIG", "it listed too many entries");
    entries.push({
      path: entry.path,
      ...(entry.type === "directory" && { type: "directory" }),
      ...(typeof entry.description === "string" && { description: entry.description.slice(0, LONGEST_VALUE) }),
    });
  }
  return entries;
}

function contextOf(context: PlainContext, { ask, log, signal }: Conversation): GeneratorContext {
  const { file = { path: "", type: "file", mode: 0, uid: 0, gid: 0, xattrs: new Map() }, ...rest } = context;
  // The other side answers each question with the type in the contract.
  const answer = <T>(question: Parameters<typeof ask>[0], argument = "") => ask(question, argument) as Promise<T>;
  return {
    ...rest,
    file,
    signal,
    outline: () => answer("outline"),
    related: () => answer("related"),
    list: (path) => answer("list", path),
    read: (path) => answer("read", path),
    setting: (name) => answer("setting", name),
    working: (pid) => {
      ask("working", String(pid)).catch(() => {});
    },
    log: {
      debug: (message) => log("debug", message),
      info: (message) => log("info", message),
      warn: (message) => log("warn", message),
    },
  };
}

async function dispose(): Promise<void> {
  await Promise.allSettled([...own.values()].map(async (generator) => generator.dispose?.()));
}

function requireGenerator(name: string): ContentGenerator {
  const generator = own.get(name);
  if (generator === undefined) throw new Error(`the generator ${JSON.stringify(name)} is not loaded`);
  return generator;
}

function isBuiltIn(value: unknown): value is BuiltIn {
  return isRecord(value) && typeof value.use === "string" && typeof value.generate !== "function";
}

function isGenerator(value: unknown): value is ContentGenerator {
  return typeof value === "object" && value !== null && "generate" in value && typeof value.generate === "function";
}

/** XATTR_SIZE_MAX. */
const LONGEST_VALUE = 65_536;

/** The metadata that can be kept; the rest causes a warning. */
function keepMetadata(metadata: unknown, { log }: Conversation): NonNullable<GeneratedHead["metadata"]> {
  const good: [string, string | number | boolean][] = [];
  for (const [name, value] of Object.entries(metadata ?? {})) {
    if (typeof value === "string" && value.length > LONGEST_VALUE) {
      log("warn", `the metadata ${JSON.stringify(name.slice(0, 40))} is not kept: it is too large for an xattr`);
    } else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
      good.push([name, value]);
    else log("warn", `the metadata ${JSON.stringify(name)} is not kept: it is ${kindOf(value)}, not text or a number`);
  }
  return Object.fromEntries(good);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
