/**
 * Removes what a server leaves in the text of an answer although it belongs to the conversation and not to the file:
 * the reasoning before it, and the marks around a turn.
 *
 * A file may itself be about such marks: a chat template, the configuration of a tokenizer, a page on reasoning models.
 * So they are only searched at the edges, and stay if the rest of the text shows that they belong to it. All searches
 * are plain, in time proportional to the length of the text.
 */
import { beginsAsProse, blockIsOpen } from "./fences.ts";
import type { FileKind } from "./file-type.ts";

export interface Spoken {
  readonly text: string;
  /** There is reasoning, and nothing after it. */
  readonly onlyThoughts: boolean;
}

export function removeReasoning(answer: string, kind: FileKind): Spoken {
  const channels = readFinalChannel(answer, kind);
  if (channels !== undefined)
    return { text: withoutEndMarks(channels.text, kind), onlyThoughts: channels.onlyThoughts };
  if (!MARKED.test(answer)) return { text: answer, onlyThoughts: false };
  const turn = withoutEndMarks(withoutBeginMark(withoutBothMarks(answer, kind)), kind);
  const begun = withoutLeadingThoughts(turn, kind);
  const after = begun ?? withoutUnopenedThoughts(turn, kind);
  if (after === undefined) return { text: turn, onlyThoughts: false };
  if (after.onlyThoughts) return after;
  return { text: withoutWrapper(withoutEndMarks(after.text, kind), kind), onlyThoughts: false };
}

/** Every mark below contains one of these. */
const MARKED = /[<[◁]/;

interface Marks {
  readonly open: string;
  readonly close: string;
  /** These are tokens of a model, which nobody writes by accident. */
  readonly token?: true;
  /** Counts as reasoning even without the end mark: the answer was cut off. */
  readonly alone?: true;
}

/** Of DeepSeek, Qwen, GLM, Phi; EXAONE; Granite; Seed; Magistral; Command A; Sky-T1; Kimi; MedGemma; Gemma. */
const THOUGHTS: readonly Marks[] = [
  { open: "<think>", close: "</think>", alone: true },
  { open: "<thinking>", close: "</thinking>", alone: true },
  { open: "<thought>", close: "</thought>" },
  { open: "<thoughts>", close: "</thoughts>" },
  { open: "<reasoning>", close: "</reasoning>" },
  { open: "<seed:think>", close: "</seed:think>", token: true, alone: true },
  { open: "[think]", close: "[/think]" },
  { open: "<|start_thinking|>", close: "<|end_thinking|>", token: true, alone: true },
  { open: "<|begin_of_thought|>", close: "<|end_of_thought|>", token: true, alone: true },
  { open: "◁think▷", close: "◁/think▷", token: true, alone: true },
  { open: "<unused94>thought", close: "<unused95>", token: true, alone: true },
  { open: "<|channel>thought", close: "<channel|>", token: true, alone: true },
];

/** Marks that some of those models put around the answer itself. */
const WRAPPERS: readonly Marks[] = [
  { open: "<answer>", close: "</answer>" },
  { open: "<response>", close: "</response>" },
  { open: "<output>", close: "</output>" },
  { open: "<|start_response|>", close: "<|end_response|>", token: true },
  { open: "<|begin_of_solution|>", close: "<|end_of_solution|>", token: true },
];

/** The text after leading reasoning; undefined if it does not begin with reasoning. */
function withoutLeadingThoughts(text: string, kind: FileKind): Spoken | undefined {
  const start = text.length - text.trimStart().length;
  const head = toAsciiLowerCase(text.slice(start, start + 40));
  const marks = THOUGHTS.find(({ open }) => head.startsWith(open));
  if (marks === undefined) return undefined;
  const lower = toAsciiLowerCase(text);
  const end = findClosingMark(lower, marks, start + marks.open.length);
  if (end === undefined) {
    // "<think> is a tag" may begin a page about it.
    const cutOff = marks.alone === true && (kind === "code" || endsLine(text, start + marks.open.length));
    return cutOff ? { text, onlyThoughts: true } : undefined;
  }
  return textAfterThoughts(text, end, kind);
}

/** Changes ASCII letters only, so that all indexes stay the same. */
function toAsciiLowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The end of the reasoning. Reasoning that mentions the mark itself does so within a sentence. */
function findClosingMark(lower: string, { open, close }: Marks, from: number): number | undefined {
  let first: number | undefined;
  for (let at = lower.indexOf(close, from); at >= 0; at = lower.indexOf(close, at + close.length)) {
    const end = at + close.length;
    first ??= end;
    if (endsLine(lower, end) || !/[\s`"'.,;:!?)\]]/.test(lower.charAt(end))) return end;
  }
  // "<think>" is occasionally closed by "</thinking>", and vice versa.
  if (first === undefined && open.startsWith("<think")) {
    const other = open === "<think>" ? "</thinking>" : "</think>";
    const at = lower.indexOf(other, from);
    if (at >= 0) return at + other.length;
  }
  return first;
}

/** Whether only white space follows on this line. */
function endsLine(text: string, at: number): boolean {
  for (let index = at; index < text.length; index++) {
    const character = text[index];
    if (character === "\n") return true;
    if (character !== " " && character !== "\t" && character !== "\r") return false;
  }
  return true;
}

/**
 * The text after the reasoning; undefined if it cannot be the file, so that the "reasoning" must be part of the file.
 */
function textAfterThoughts(text: string, from: number, kind: FileKind): Spoken | undefined {
  const after = text.slice(from).replace(/^[ \t]*\r?\n?/, "");
  if (kind === "markup") {
    const isDocument = /^(<[a-z!?]|```|~~~)/i.test(after.trimStart()) && !after.trimStart().startsWith("<!--");
    return isDocument ? { text: after, onlyThoughts: false } : undefined;
  }
  return after.trim() === "" ? { text, onlyThoughts: true } : { text: after, onlyThoughts: false };
}

/**
 * Reasoning whose beginning was part of the prompt, as in the templates of R1 and Qwen3, so that only its end mark is
 * present. A text about such marks also has the beginning, or has the end mark in the middle of a line or in a code
 * block; and code does not begin with sentences.
 */
function withoutUnopenedThoughts(text: string, kind: FileKind): Spoken | undefined {
  const lower = toAsciiLowerCase(text);
  for (const marks of THOUGHTS) {
    const end = findUnopenedEnd(text, lower, marks, kind);
    const after = end === undefined ? undefined : textAfterThoughts(text, end, kind);
    if (after !== undefined) return after;
  }
  return undefined;
}

function findUnopenedEnd(
  text: string,
  lower: string,
  { open, close, token }: Marks,
  kind: FileKind,
): number | undefined {
  const at = lower.indexOf(close);
  if (at < 0) return undefined;
  const opened = lower.indexOf(open);
  if (opened >= 0 && opened < at) return undefined;
  const end = at + close.length;
  const before = text.slice(0, at);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const wrapped = WRAPPERS.some((one) => one.token === true && lower.startsWith(one.open, end));
  if (!endsLine(text, end) && !wrapped && (kind === "prose" || token !== true)) return undefined;
  const isEnd = kind === "prose" ? line.trim() === "" || token === true : beginsAsProse(before);
  return isEnd && !blockIsOpen(before) ? end : undefined;
}

/**
 * An answer that is wrapped as a whole, once its reasoning is removed. In markup, such an element may belong to the
 * file.
 */
function withoutWrapper(text: string, kind: FileKind): string {
  const trimmed = text.trim();
  const lower = toAsciiLowerCase(trimmed);
  const marks = WRAPPERS.find(({ open, close }) => lower.startsWith(open) && lower.endsWith(close));
  if (marks === undefined || (kind === "markup" && marks.token === undefined)) return text;
  const inside = trimmed.slice(marks.open.length, trimmed.length - marks.close.length).replace(/^[ \t]*\r?\n/, "");
  return `${inside.trimEnd()}\n`;
}

const CHANNEL = "<|channel|>";
const MESSAGE = "<|message|>";

/**
 * The final channel of gpt-oss, whose answers are messages with a channel each. Undefined if the text has no channels.
 * Some servers remove the marks and leave their words: "analysis…assistantfinal…".
 */
function readFinalChannel(answer: string, kind: FileKind): Spoken | undefined {
  const text = answer.trimStart();
  if (/^analysis[^a-z\s]/.test(text)) {
    const at = text.indexOf("assistantfinal");
    return at < 0 ? undefined : { text: text.slice(at + "assistantfinal".length), onlyThoughts: false };
  }
  if (!text.startsWith(CHANNEL) && !/^<\|start\|>assistant\s*<\|channel\|>/.test(text)) return undefined;
  // The first one that begins a message: reasoning and content may mention the marks.
  for (const opening of [`<|start|>assistant${CHANNEL}final`, `${CHANNEL}final`]) {
    for (let at = text.indexOf(opening); at >= 0; at = text.indexOf(opening, at + 1)) {
      // A constraint may stand between the channel's name and its message: "final <|constrain|>json".
      const begins = text.slice(at, at + 150).indexOf(MESSAGE);
      if (begins < 0) continue;
      const content = withoutMessageEnd(text.slice(at + begins + MESSAGE.length));
      return { text: content, onlyThoughts: withoutEndMarks(content, kind).trim() === "" };
    }
  }
  return { text: answer, onlyThoughts: true };
}

/** A message that has begun also ends, whatever its content is about. */
function withoutMessageEnd(content: string): string {
  const end = trimmedLength(content, content.length);
  const mark = ["<|return|>", "<|end|>"].find((one) => content.endsWith(one, end));
  return mark === undefined ? content : content.slice(0, end - mark.length);
}

interface TurnMark {
  readonly mark: string;
  /** The marks that open what this one closes, if any. */
  readonly opens?: readonly string[];
}

/** Marks at the end of a turn that servers sometimes fail to remove. */
const END_MARKS: readonly TurnMark[] = [
  { mark: "</s>", opens: ["<s>", "<s "] },
  { mark: "<|im_end|>", opens: ["<|im_start|>"] },
  { mark: "<|im_sep|>" },
  { mark: "<|eot_id|>", opens: ["<|start_header_id|>"] },
  { mark: "<|eom_id|>", opens: ["<|start_header_id|>"] },
  { mark: "<|eot|>", opens: ["<|header_start|>"] },
  { mark: "<|end_of_text|>" },
  { mark: "<|endoftext|>" },
  { mark: "<|end|>", opens: ["<|start|>", "<|user|>", "<|assistant|>", "<|system|>"] },
  { mark: "<|return|>", opens: ["<|start|>"] },
  { mark: "<|call|>", opens: ["<|start|>"] },
  { mark: "<end_of_turn>", opens: ["<start_of_turn>"] },
  { mark: "<turn|>", opens: ["<|turn>"] },
  { mark: "<eos>", opens: ["<bos>"] },
  { mark: "<|eos|>" },
  { mark: "<|end_of_turn|>" },
  { mark: "<|endofturn|>" },
  { mark: "[|endofturn|]" },
  { mark: "<|END_OF_TURN_TOKEN|>", opens: ["<|START_OF_TURN_TOKEN|>"] },
  { mark: "<|END_RESPONSE|>", opens: ["<|START_RESPONSE|>"] },
  { mark: "<｜end▁of▁sentence｜>" },
  { mark: "<|end▁of▁sentence|>" },
  { mark: "<|user|>" },
  { mark: "<|observation|>" },
];

/** A model in a loop repeats them. If there are this many, none is content. */
const MOST_MARKS = 8;

/** Removes marks from the end of a text. One stays if something in the text needs it, or contains the same mark. */
function withoutEndMarks(text: string, kind: FileKind): string {
  // The last one first.
  const run: TurnMark[] = [];
  let start = text.length;
  for (;;) {
    const end = trimmedLength(text, start);
    const found = END_MARKS.find(({ mark }) => text.endsWith(mark, end));
    if (found === undefined) break;
    start = end - found.mark.length;
    run.push(found);
  }
  if (run.length === 0) return text;
  const before = text.slice(0, start);
  if (run.length > MOST_MARKS) return before;
  if (kind === "prose" && endsInToken(before)) return text;
  let kept = text.length;
  for (const found of run) {
    const end = trimmedLength(text, kept) - found.mark.length;
    if (belongsTo(text.slice(0, end), found)) break;
    kept = end;
  }
  return text.slice(0, kept);
}

/** Whether the last line is a token as well: then this is a list of tokens. */
function endsInToken(text: string): boolean {
  const end = trimmedLength(text, text.length);
  const line = text.slice(text.lastIndexOf("\n", end - 1) + 1, end).trim();
  return /^(<\|?[\w ]{1,40}\|?>|\[[A-Z_]{1,40}\])$/.test(line);
}

/** The length of the text before `end`, without trailing white space. */
function trimmedLength(text: string, end: number): number {
  let length = end;
  while (length > 0 && /\s/.test(text.charAt(length - 1))) length -= 1;
  return length;
}

function belongsTo(before: string, { mark, opens = [] }: TurnMark): boolean {
  // What one mark opens, several may close.
  const ends = END_MARKS.filter((one) => opens.some((open) => one.opens?.includes(open)));
  const sum = (marks: readonly string[]) => marks.reduce((total, one) => total + count(before, one), 0);
  if (sum(opens) > sum(ends.map((one) => one.mark))) return true;
  // A file with such texts has more of them, each at the end of a line.
  for (let at = before.indexOf(mark); at >= 0; at = before.indexOf(mark, at + mark.length)) {
    if (endsLine(before, at + mark.length) && before.slice(at + mark.length).trim() !== "") return true;
  }
  return false;
}

function count(text: string, part: string): number {
  let found = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) found += 1;
  return found;
}

const BEGIN_MARKS = [
  "<|im_start|>assistant",
  "<|start_header_id|>assistant<|end_header_id|>",
  "<start_of_turn>model",
  "<|begin_of_text|>",
  "<|assistant|>",
  "<bos>",
  "<｜begin▁of▁sentence｜>",
  "<｜Assistant｜>",
];

/** A transcript begins like that too, but has more than one. */
function withoutBeginMark(text: string): string {
  const trimmed = text.trimStart();
  const mark = BEGIN_MARKS.find((one) => trimmed.startsWith(one));
  if (mark === undefined) return text;
  const after = trimmed.slice(mark.length);
  const more = after.includes(mark.replace(/(assistant|model)(<\|end_header_id\|>)?$/, ""));
  return more ? text : after.replace(/^[ \t]*\r?\n?/, "");
}

/** Llama 2 puts its whole answer between these. In prose and markup they may be an element. */
function withoutBothMarks(text: string, kind: FileKind): string {
  const trimmed = text.trim();
  if (kind !== "code" || !trimmed.startsWith("<s>")) return text;
  const inside = trimmed.slice("<s>".length).replace(/<\/s>$/, "");
  return inside.includes("</s>") ? text : inside;
}
