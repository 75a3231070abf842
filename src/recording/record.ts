/**
 * A recording as text, for people to read and for `git diff` to show.
 *
 *     llmfs recording 1
 *     key: 64 hexadecimal digits
 *     for: /tides/predict.py
 *     model: gpt-6.1-terra
 *     answered by: gpt-6.1-terra-2026-10-26
 *     tokens: 812 in, 344 out
 *     context: 4096 tokens
 *     parameters: {"temperature":0.2}
 *     schema: {"name":"…","schema":{…}}
 *     frozen: ["the test expects tide_height"]
 *     owner: team-a
 *     answer: sha256 of the answer
 *     signed: id of the key, HMAC of everything else
 *
 *     system
 *     | You write one file …
 *
 *     user
 *     | The tree: …
 *
 *     answer
 *     the text as it is, to the end of the file
 *
 * "for" is JSON if it contains a control character; "tokens", "context", "parameters", "schema", "owner" and
 * "signed" are left out if there are none. Lines of the header that this version does not know are skipped.
 * "frozen" is in recordings of a file's content that passed a check: the reasons why it was written again before.
 * The request is stored in full because a recording is checked against its key, and misses are explained by it. There
 * are no times, no headers and no API keys: recording the same answer twice gives the same bytes.
 */
import { LRUCache } from "lru-cache";
import { messageOf } from "../errno.ts";
import type { ChatMessage, ChatRequest, ChatSchema, ChatUsage } from "../llm/llm.ts";
import { canonicalJson } from "../text/canonical-json.ts";
import { PerHead, requestHeads } from "../text/shared-heads.ts";
import { requestKey } from "./key.ts";
import type { Fault, Recording } from "./recording.ts";
import { SIGNED, type Signer, Untrusted } from "./signature.ts";

/** In bytes. The longest answer accepted from a server, together with its request, is smaller. */
export const LONGEST_RECORDING = 256 * 1024 * 1024;

const NAME = "llmfs recording";
const HEAD = `${NAME} 1`;
const ANSWER = "\n\nanswer\n";
const HEAD_BYTES = Buffer.from(`${HEAD}\n`);
const ANSWER_BYTES = Buffer.from(ANSWER);

/** With a signer, the text is signed by it. Without one, a signature that the recording was read with stays. */
export function writeRecording(recording: Recording, signer?: Signer): string {
  const pieces = piecesOf(recording, signer !== undefined);
  const whole = pieces.map((piece) => (typeof piece === "string" ? piece : piece.text)).join("");
  return signer === undefined ? whole : signer.sign(whole);
}

/** The same in UTF-8. */
export function encodeRecording(recording: Recording, signer?: Signer): Buffer {
  return Buffer.concat(encodePieces(recording, signer));
}

/** The same in pieces. Of a long request, most is encoded already. */
export function encodePieces(recording: Recording, signer?: Signer): readonly Buffer[] {
  if (signer !== undefined) return [Buffer.from(writeRecording(recording, signer))];
  const encoded: Buffer[] = [];
  let text = "";
  for (const piece of piecesOf(recording, false)) {
    if (typeof piece === "string") text += piece;
    else {
      encoded.push(Buffer.from(text), piece.bytes);
      text = "";
    }
  }
  encoded.push(Buffer.from(text));
  return encoded;
}

function piecesOf(recording: Recording, signed: boolean): readonly (string | Quoted)[] {
  const { key, label, request, answer, owner } = recording;
  const text = answer.text.toWellFormed();
  const lines = [
    HEAD,
    `key: ${key}`,
    `for: ${toOneLine(label)}`,
    `model: ${toOneLine(request.model)}`,
    `answered by: ${toOneLine(answer.model)}`,
  ];
  if (answer.usage !== undefined)
    lines.push(`tokens: ${answer.usage.inputTokens} in, ${answer.usage.outputTokens} out`);
  if (answer.contextLength !== undefined) lines.push(`context: ${answer.contextLength} tokens`);
  const { parameters, schema } = parametersText(request);
  if (parameters !== undefined) lines.push(`parameters: ${parameters}`);
  if (schema !== undefined) lines.push(`schema: ${schema}`);
  if (answer.frozen !== undefined) lines.push(`frozen: ${JSON.stringify(answer.frozen)}`);
  if (owner !== undefined) lines.push(`owner: ${toOneLine(owner)}`);
  lines.push(`answer: ${digest(text)}`);
  if (!signed && recording.signature !== undefined) lines.push(`${SIGNED}: ${recording.signature}`);
  return [lines.join("\n"), ...conversation(request), ANSWER, text];
}

function parametersText({ model: _, messages: __, schema, ...parameters }: ChatRequest) {
  const text = canonicalJson(parameters);
  return {
    parameters: text === "{}" ? undefined : text,
    schema: schema === undefined ? undefined : canonicalJson(schema),
  };
}

function conversation({ messages }: ChatRequest): readonly (string | Quoted)[] {
  return messages.flatMap((message) => {
    const [head, rest] = quoteContent(message);
    return head === undefined ? [formatRole(message.role) + rest] : [formatRole(message.role), head, rest];
  });
}

function formatRole(role: string): string {
  return `\n\n${role}`;
}

/** The content with a mark before each line, in pieces; the first is often the same as before. */
function quoteContent(message: ChatMessage): readonly [head: Quoted | undefined, rest: string] {
  const { content } = message;
  const cut = requestHeads.cut(content, message);
  if (cut === undefined) return [undefined, quoteInstructions(content)];
  const lines = quotedHeads.of(cut.head);
  if (lines.length === 0) return [undefined, quoteInstructions(content)];
  return [lines, markLines(cut.head.text.slice(lines.length) + cut.rest)];
}

/** The whole lines of a head, with marks. */
interface Quoted {
  readonly text: string;
  readonly bytes: Buffer;
  /** The length of these lines in the content, including the last line end; 0 if the head has no whole line. */
  readonly length: number;
}

const quotedHeads = new PerHead((head): Quoted => {
  const end = head.lastIndexOf("\n");
  const text = end < 0 ? "" : markLines(head.slice(0, end));
  return { text, bytes: Buffer.from(text), length: end + 1 };
});

/** Instructions are short, and often the same as a whole. */
function quoteInstructions(content: string): string {
  if (content.length >= ALIKE) return markLines(content);
  const known = quotedInstructions.get(content);
  if (known !== undefined) return known;
  const lines = markLines(content);
  quotedInstructions.set(content, lines);
  return lines;
}

const ALIKE = 2048;
const quotedInstructions = new LRUCache<string, string>({ max: 32 });

/** An empty line gets no space after the mark, so that a program that strips trailing blanks does no harm. */
function markLines(lines: string): string {
  const text = `\n| ${lines.replaceAll("\n", "\n| ")}`;
  // Looking for an empty line takes a fraction of the time of replacing them.
  return text.includes("\n| \n") || text.endsWith("\n| ") ? text.replace(/\n\| (?=\n|$)/g, "\n|") : text;
}

/** The position in the bytes, from `from`, where the conversation ends; undefined if it is a different one. */
function endOf({ messages }: ChatRequest, bytes: Buffer, from: number): number | undefined {
  let at = from;
  const takes = (piece: Buffer) => {
    const end = at + piece.length;
    if (end > bytes.length || bytes.compare(piece, 0, piece.length, at, end) !== 0) return false;
    at = end;
    return true;
  };
  for (const message of messages) {
    const [head, rest] = quoteContent(message);
    const { role } = message;
    if (head === undefined) {
      if (!takes(Buffer.from(formatRole(role) + rest))) return undefined;
    } else if (!takes(Buffer.from(formatRole(role))) || !takes(head.bytes) || !takes(Buffer.from(rest)))
      return undefined;
  }
  return takes(ANSWER_BYTES) ? at : undefined;
}

/** A request, and its key. */
export interface Keyed {
  readonly key: string;
  readonly request: ChatRequest;
}

/**
 * Like `readRecording`, for a caller that knows the request: a recording that contains it word for word is not parsed,
 * and its key is not computed again. Any other recording is read in full. Throws also for bytes that are not UTF-8.
 */
export function readAnswerTo({ key, request }: Keyed, text: string | Buffer): Recording {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  const end = bytes.indexOf("\n\n");
  const known = end > 0 && bytes.subarray(0, HEAD_BYTES.length).equals(HEAD_BYTES);
  const answer = known ? endOf(request, bytes, end) : undefined;
  if (answer === undefined) return readRecording(decodeRecording(text));
  const fields = fieldsOf(decodeRecording(bytes.subarray(HEAD_BYTES.length, end)));
  const { parameters, schema } = parametersText(request);
  const same =
    fields.get("key") === key &&
    fields.get("model") === toOneLine(request.model) &&
    fields.get("parameters") === parameters &&
    fields.get("schema") === schema;
  return same
    ? checkDigest(fields, request, decodeRecording(bytes.subarray(answer)))
    : readRecording(decodeRecording(text));
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Throws for bytes that are not UTF-8. */
export function decodeRecording(text: string | Uint8Array): string {
  return typeof text === "string" ? text : strict.decode(text);
}

/** Throws an Error with the reason: the file was truncated, edited, merged badly, or is something else. */
export function readRecording(text: string): Recording {
  if (!text.startsWith(`${HEAD}\n`)) throw explainForeignFile(text);
  const end = text.indexOf(ANSWER);
  if (end < 0) throw new Error("it is truncated: it contains no answer");
  const [header = "", ...parts] = text.slice(HEAD.length + 1, end).split("\n\n");
  const fields = fieldsOf(header);
  const schema = schemaOf(fields.get("schema"));
  const request: ChatRequest = {
    ...parametersOf(fields.get("parameters")),
    model: parseLabel(requireField(fields, "model")),
    messages: parts.map(parseMessage),
    ...(schema && { schema }),
  };
  const recording = checkDigest(fields, request, text.slice(end + ANSWER.length));
  if (requestKey(request) !== recording.key) throw new Error("its request was changed: it does not match its key");
  return recording;
}

function explainForeignFile(text: string): Error {
  const [line = ""] = text.split("\n", 1);
  const version = line.startsWith(`${NAME} `) ? line.slice(NAME.length + 1) : "";
  if (version === "1\r")
    return new Error("its line endings were changed to CR LF; to prevent that in git, set -text in .gitattributes");
  if (/^\d{1,9}$/.test(version)) return new ForeignRecording(version);
  return new Error(`it does not begin with "${HEAD}"`);
}

/** Written by another version of llmfs. */
class ForeignRecording extends Error {
  constructor(version: string) {
    super(`it has format ${version}, written by another version of llmfs; this version reads format 1`);
  }
}

/** Why a recording could not be read. */
export function faultOf(name: string, error: unknown): Fault {
  const reason = messageOf(error);
  if (error instanceof Untrusted) {
    return { name, reason, cure: error.cure, untrusted: true, ...(error.foreign && { foreign: true }) };
  }
  return { name, reason, ...(error instanceof ForeignRecording && { foreign: true }) };
}

function checkDigest(fields: ReadonlyMap<string, string>, request: ChatRequest, answer: string): Recording {
  const usage = usageOf(fields.get("tokens"));
  const contextLength = contextLengthOf(fields.get("context"));
  const frozen = frozenOf(fields.get("frozen"));
  const [owner, signature] = [fields.get("owner"), fields.get(SIGNED)];
  const recording: Recording = {
    key: requireField(fields, "key"),
    label: parseLabel(requireField(fields, "for")),
    request,
    answer: {
      text: answer,
      model: parseLabel(requireField(fields, "answered by")),
      ...(usage && { usage }),
      ...(contextLength !== undefined && { contextLength }),
      ...(frozen && { frozen }),
    },
    ...(owner !== undefined && { owner: parseLabel(owner) }),
    ...(signature !== undefined && { signature }),
  };
  if (digest(answer) !== requireField(fields, "answer")) throw new Error("its answer was changed or truncated");
  return recording;
}

function fieldsOf(header: string): ReadonlyMap<string, string> {
  return new Map(header.split("\n").map((line) => split(line)));
}

function digest(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

/** A name on one line: as it is, or as JSON if it would not survive. */
function toOneLine(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: file names may contain any of them
  return /[\u0000-\u001f\u007f]|^"|^\s|\s$/.test(name) || !name.isWellFormed() ? JSON.stringify(name) : name;
}

function parseLabel(value: string): string {
  const name: unknown = value.startsWith('"') ? JSON.parse(value) : value;
  if (typeof name !== "string") throw new Error("a name in its header is malformed");
  return name;
}

function split(line: string): [string, string] {
  const at = line.indexOf(": ");
  return at < 0 ? [line.replace(/:$/, ""), ""] : [line.slice(0, at), line.slice(at + 2)];
}

function requireField(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined) throw new Error(`"${name}" is missing in its header`);
  return value;
}

function usageOf(tokens: string | undefined): ChatUsage | undefined {
  if (tokens === undefined) return undefined;
  const match = /^(\d+) in, (\d+) out$/.exec(tokens);
  if (match === null) throw new Error('"tokens" in its header is malformed');
  return { inputTokens: Number(match[1]), outputTokens: Number(match[2]) };
}

function contextLengthOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,15}) tokens$/.exec(text);
  if (match === null) throw new Error('"context" in its header is malformed');
  return Number(match[1]);
}

function frozenOf(json: string | undefined): readonly string[] | undefined {
  if (json === undefined) return undefined;
  const reasons: unknown = JSON.parse(json);
  if (Array.isArray(reasons) && reasons.every((reason) => typeof reason === "string")) return reasons;
  throw new Error('"frozen" in its header is malformed');
}

function parametersOf(json: string | undefined): Omit<ChatRequest, "model" | "messages" | "schema"> {
  const { temperature, maxTokens, ...others } = objectOf(json ?? "{}");
  if (Object.keys(others).length > 0) throw new Error("it has parameters that this version of llmfs does not support");
  return {
    ...(typeof temperature === "number" && { temperature }),
    ...(typeof maxTokens === "number" && { maxTokens }),
  };
}

function schemaOf(json: string | undefined): ChatSchema | undefined {
  if (json === undefined) return undefined;
  const { name, schema } = objectOf(json);
  if (typeof name !== "string" || typeof schema !== "object" || schema === null)
    throw new Error("its schema is malformed");
  return { name, schema: Object.fromEntries(Object.entries(schema)) };
}

function objectOf(json: string): Record<string, unknown> {
  const value: unknown = JSON.parse(json);
  if (typeof value !== "object" || value === null) throw new Error("its header is malformed");
  return Object.fromEntries(Object.entries(value));
}

function parseMessage(part: string): ChatMessage {
  const [role, ...lines] = part.split("\n");
  if (role !== "system" && role !== "user" && role !== "assistant") throw new Error("a message in it has no role");
  if (lines.some((line) => line !== "|" && !line.startsWith("| ")))
    throw new Error('a line of a message does not begin with "|"');
  return { role, content: lines.map((line) => line.slice(2)).join("\n") };
}
