/**
 * What a server leaves in the text of an answer that belongs to the conversation and not to the file: the thoughts of a
 * reasoning model before it, and the marks that begin and end a turn.
 *
 * A file may itself be about such marks: a chat template, the configuration of a tokenizer, a page on reasoning models.
 * So they are looked for at the edges only, and stay where the rest of the text shows that they belong to it. All of
 * this is done by plain searches, in time that grows with the length of the text.
 */
import { beginsAsProse, blockIsOpen } from "./fences.ts";
import type { FileKind } from "./file-type.ts";

export interface Spoken {
  readonly text: string;
  /** There are thoughts, and nothing comes after them. */
  readonly onlyThoughts: boolean;
}

export function removeReasoning(answer: string, kind: FileKind): Spoken {
  const channels = readFinalChannel(answer, kind);
  if (channels !== undefined)
    return { text: withoutEndMarks(channels.text, kind), onlyThoughts: channels.onlyThoughts };
  const turn = withoutEndMarks(withoutBeginMark(withoutBothMarks(answer, kind)), kind);
  const begun = withoutLeadingThoughts(turn, kind);
  const after = begun ?? withoutUnopenedThoughts(turn, kind);
  if (after === undefined) return { text: turn, onlyThoughts: false };
  if (after.onlyThoughts) return after;
  return { text: withoutWrapper(withoutEndMarks(after.text, kind), kind), onlyThoughts: false };
}

interface Marks {
  readonly open: string;
  readonly close: string;
  /** They are tokens of a model, which nobody writes by accident. */
  readonly token?: true;
  /** Without its end it is still taken for thoughts: the answer was cut off. */
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

/** What some of those models put around the answer itself. */
const WRAPPERS: readonly Marks[] = [
  { open: "<answer>", close: "</answer>" },
  { open: "<response>", close: "</response>" },
  { open: "<output>", close: "</output>" },
  { open: "<|start_response|>", close: "<|end_response|>", token: true },
  { open: "<|begin_of_solution|>", close: "<|end_of_solution|>", token: true },
];

/** The text between a beginning and an end mark, or undefined where it does not begin like that. */
function withoutLeadingThoughts(text: string, kind: FileKind): Spoken | undefined {
  const start = text.length - text.trimStart().length;
  const head = toAsciiLowerCase(text.slice(start, start + 40));
  const marks = THOUGHTS.find(({ open }) => head.startsWith(open));
  if (marks === undefined) return undefined;
  const lower = toAsciiLowerCase(text);
  const end = findClosingMark(lower, marks, start + marks.open.length);
  if (end === undefined) {
    // "<think> is a tag" begins a page about it.
    const cutOff = marks.alone === true && (kind === "code" || endsLine(text, start + marks.open.length));
    return cutOff ? { text, onlyThoughts: true } : undefined;
  }
  return textAfterThoughts(text, end, kind);
}

/** Of ASCII alone: what stands at an index there stands at the same one here. */
function toAsciiLowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Where the thoughts end. Those that speak of the mark itself do so within a sentence. */
function findClosingMark(lower: string, { open, close }: Marks, from: number): number | undefined {
  let first: number | undefined;
  for (let at = lower.indexOf(close, from); at >= 0; at = lower.indexOf(close, at + close.length)) {
    const end = at + close.length;
    first ??= end;
    if (endsLine(lower, end) || !/[\s`"'.,;:!?)\]]/.test(lower.charAt(end))) return end;
  }
  // "<think>" is ended by "</thinking>" now and then, and the other way round.
  if (first === undefined && open.startsWith("<think")) {
    const other = open === "<think>" ? "</thinking>" : "</think>";
    const at = lower.indexOf(other, from);
    if (at >= 0) return at + other.length;
  }
  return first;
}

/** Whether only blanks stand between this place and the end of its line. */
function endsLine(text: string, at: number): boolean {
  for (let index = at; index < text.length; index++) {
    const character = text[index];
    if (character === "\n") return true;
    if (character !== " " && character !== "\t" && character !== "\r") return false;
  }
  return true;
}

/** What comes after thoughts; undefined where it cannot be the file, so that they must be part of it. */
function textAfterThoughts(text: string, from: number, kind: FileKind): Spoken | undefined {
  const after = text.slice(from).replace(/^[ \t]*\r?\n?/, "");
  if (kind === "markup") {
    const isDocument = /^(<[a-z!?]|```|~~~)/i.test(after.trimStart()) && !after.trimStart().startsWith("<!--");
    return isDocument ? { text: after, onlyThoughts: false } : undefined;
  }
  return after.trim() === "" ? { text, onlyThoughts: true } : { text: after, onlyThoughts: false };
}

/**
 * Thoughts whose beginning was part of the prompt, as the templates of R1 and Qwen3 have it, so that only their end is
 * there. A text about such marks has the beginning as well, or has the end in the middle of a line or in a code block;
 * and code does not begin with sentences.
 */
function withoutUnopenedThoughts(text: string, kind: FileKind): Spoken | undefined {
  const lower = toAsciiLowerCase(text);
  for (const marks of THOUGHTS) {
    const end = unopenedEnd(text, lower, marks, kind);
    const after = end === undefined ? undefined : textAfterThoughts(text, end, kind);
    if (after !== undefined) return after;
  }
  return undefined;
}

function unopenedEnd(text: string, lower: string, { open, close, token }: Marks, kind: FileKind): number | undefined {
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

/** An answer that is enclosed as a whole, once its thoughts are gone. In markup such an element may be the file's own. */
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
 * The final channel of gpt-oss, whose answers are messages with a channel each. Undefined where the text is nothing of the
 * kind. Some servers leave the words of the marks and drop the marks: "analysis…assistantfinal…".
 */
function readFinalChannel(answer: string, kind: FileKind): Spoken | undefined {
  const text = answer.trimStart();
  if (/^analysis[^a-z\s]/.test(text)) {
    const at = text.indexOf("assistantfinal");
    return at < 0 ? undefined : { text: text.slice(at + "assistantfinal".length), onlyThoughts: false };
  }
  if (!text.startsWith(CHANNEL) && !/^<\|start\|>assistant\s*<\|channel\|>/.test(text)) return undefined;
  // Of several, the first that begins a message: thoughts and content may speak of the marks.
  for (const opening of [`<|start|>assistant${CHANNEL}final`, `${CHANNEL}final`]) {
    for (let at = text.indexOf(opening); at >= 0; at = text.indexOf(opening, at + 1)) {
      // Between the channel's name and its message there may be a constraint: "final <|constrain|>json".
      const begins = text.slice(at, at + 150).indexOf(MESSAGE);
      if (begins < 0) continue;
      const content = withoutMessageEnd(text.slice(at + begins + MESSAGE.length));
      return { text: content, onlyThoughts: withoutEndMarks(content, kind).trim() === "" };
    }
  }
  return { text: answer, onlyThoughts: true };
}

/** A message that is begun is ended, whatever its content is about. */
function withoutMessageEnd(content: string): string {
  const end = trimmedLength(content, content.length);
  const mark = ["<|return|>", "<|end|>"].find((one) => content.endsWith(one, end));
  return mark === undefined ? content : content.slice(0, end - mark.length);
}

interface TurnMark {
  readonly mark: string;
  /** What begins whatever this ends, where there is something. */
  readonly opens?: readonly string[];
}

/** By which models end a turn, and which their servers may fail to take away. */
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

/** A model that has run wild repeats them. Of so many none is content. */
const MOST_MARKS = 8;

/** A text that ends in marks without them. One stays if something in the text is waiting for it, or has its like. */
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

/** Whether the last line is a token as well: then this is a list of them. */
function endsInToken(text: string): boolean {
  const end = trimmedLength(text, text.length);
  const line = text.slice(text.lastIndexOf("\n", end - 1) + 1, end).trim();
  return /^(<\|?[\w ]{1,40}\|?>|\[[A-Z_]{1,40}\])$/.test(line);
}

/** Without the blanks at the end of what stands before this place. */
function trimmedLength(text: string, end: number): number {
  let length = end;
  while (length > 0 && /\s/.test(text.charAt(length - 1))) length -= 1;
  return length;
}

function belongsTo(before: string, { mark, opens = [] }: TurnMark): boolean {
  // What one mark begins, several may end.
  const ends = END_MARKS.filter((one) => opens.some((open) => one.opens?.includes(open)));
  const sum = (marks: readonly string[]) => marks.reduce((total, one) => total + count(before, one), 0);
  if (sum(opens) > sum(ends.map((one) => one.mark))) return true;
  // A file of such texts has more of them, each at the end of a line.
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

/** A transcript begins like that too, and has more than one. */
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
