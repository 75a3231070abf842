/**
 * Composes the request for a file: the tree, the inherited prompts, the related static files and the task.
 *
 * The request depends only on the definition of the tree (paths, types, descriptions, prompts, static contents). It does
 * not depend on earlier reads or generated content, or on times, owners, states, sizes and the mountpoint. So the same tree
 * gives the same request for any order of reads.
 */
import { LRUCache } from "lru-cache";
import { DEPENDS } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { GeneratorContext, RelatedFile } from "../../generators/contract.ts";
import type { ChatMessage } from "../../llm/llm.ts";
import type { GenerationRequest } from "../../rpc/generation.ts";
import type { FileInfo, TreeEntry, TreePort } from "../../rpc/tree-port.ts";
import { type Head, requestHeads } from "../../text/shared-heads.ts";
import { folderOf } from "../../text/tree-paths.ts";
import { parseDependencies } from "../depends.ts";
import { namedFiles } from "../named-files.ts";
import { countTokens } from "../spending/tokens.ts";
import { fitDependencies, isMissingError, readDependencies } from "./dependencies.ts";
import { AROUND, fill } from "./fill.ts";
import { createHiddenCheck, filterVisible, filterVisibleAtOnce } from "./ignore.ts";
import { renderOutline } from "./outline.ts";
import {
  CONTENT_INSTRUCTIONS,
  contentSections,
  promptSections,
  type Section,
  taskSection,
  treeSection,
} from "./prompts.ts";
import { type Redact, redact, redactAtOnce } from "./redact.ts";
import { hasStatics, rankFiles, selectRelated } from "./related.ts";

export interface ContextOptions {
  /**
   * The maximum tokens of the request. The required parts (instructions, prompts, task) come first. A quarter of the rest
   * is for the outline, and the remainder for related files. Default: DEFAULT_TOKENS, not counting the required parts.
   */
  readonly tokens?: number;
  /** Whether to remove likely secrets. Default: true. */
  readonly redact?: boolean;
  /** The whole tree, if the visible tree is only a part of it. Its ignore rules also apply to the visible part. */
  readonly keptOutOf?: ContextTree;
}

/** Not counting the required parts. */
export const DEFAULT_TOKENS = 16_000;

export type ContextTree = Pick<TreePort, "outline" | "layout" | "layoutAtOnce" | "readStatic" | "readStatics">;

/** The parts of the generator context that a request is composed from. */
export type ComposeContext = Pick<GeneratorContext, "file" | "prompts" | "read"> &
  Pick<GenerationRequest, "rulePrompt"> & {
    readonly signal?: AbortSignal;
    /** Called with each file that this one depends on and that does not exist. */
    readonly leaveOut?: (path: string) => void;
  };

export interface ContextMaker {
  /** The messages of the request for one file. */
  compose(path: string, context: ComposeContext): Promise<readonly ChatMessage[]>;
  /**
   * The same at once; undefined if anything has to be read or computed first. That is so for the first file of a directory, and
   * for a file whose request contains other files.
   */
  composeAtOnce(path: string, context: Omit<ComposeContext, "read">): readonly ChatMessage[] | undefined;
  /** Loads and computes in advance what the first request needs. */
  prepare(): Promise<void>;
  /** The parts of the user message before secrets are removed, and why each is in it. */
  sections(path: string, context: ComposeContext): Promise<readonly Section[]>;
  /** `GeneratorContext.related` for one file. */
  related(file: FileInfo, prompts: readonly string[]): Promise<readonly RelatedFile[]>;
}

export function createContextMaker(tree: ContextTree, options: ContextOptions = {}): ContextMaker {
  const redacts = options.redact !== false;
  const clean: Redact = redacts ? redact : async (text) => text;
  const cleanAtOnce = redacts ? redactAtOnce : (text: string) => text;

  const layout = tree.layout ?? tree.outline;
  const shown = createOutlineReader(tree, options.keptOutOf);
  const shared = redacts ? redactedParts : unchangedParts;

  async function sectionsAmong(
    entries: readonly TreeEntry[],
    path: string,
    context: ComposeContext,
  ): Promise<readonly Section[]> {
    const { file, prompts, read, signal } = context;
    const own = { ...namesOf(path, file), prompts };
    const room = await measureRoom(contentSections({ ...own, outline: "", related: [] }), path, options.tokens);
    const isKeptOut = file.xattrs.has(DEPENDS) ? createHiddenCheck(await layout(), entries) : () => false;
    const { rulePrompt } = context;
    const named = rulePrompt === undefined ? [] : namedFiles([rulePrompt], path, createFileCheck(entries));
    const paths = [...new Set([...parseDependencies(path, file.xattrs.get(DEPENDS)), ...named])];
    const isMissing = (one: string) => tree.readStatic(one, 1).then(() => false, isMissingError);
    const { leaveOut = () => {} } = context;
    const needed = await readDependencies(path, { paths, read, clean, isKeptOut, isMissing, leaveOut });
    const names = new Set(needed.map((one) => one.path));
    const ranked = await rankFiles(file, [file.description ?? "", ...prompts], entries, tree, { clean, signal });
    signal?.throwIfAborted();
    const outline = await renderOutline(entries, path, outlineShare(room));
    const others = ranked.filter((one) => !names.has(one.path));
    const declared = await fitDependencies(needed, room, outline);
    const chosen = await fill([...declared, ...others], room, outline);
    return contentSections({
      ...own,
      outline,
      related: chosen.map((one) => ({ ...one, path: stripLeadingSlash(one.path) })),
    });
  }

  /** Whether the request differs from those of other files in the directory only by its task. */
  function isAlone(entries: readonly TreeEntry[], { file, rulePrompt }: Omit<ComposeContext, "read">): boolean {
    return (
      options.tokens === undefined && rulePrompt === undefined && !file.xattrs.has(DEPENDS) && !hasStatics(entries)
    );
  }

  /** What all requests with these prompts begin with, if the outline is there. */
  function sharedParts(entries: readonly TreeEntry[], folder: string, prompts: readonly string[]) {
    const known = shared.get(entries, folder, prompts);
    if (known !== undefined) return known;
    const [tree] = shared.get(entries, folder, []) ?? [];
    const said = promptSections(prompts).map(({ text }) => cleanAtOnce(text));
    if (tree === undefined || !said.every((text) => text !== undefined)) return undefined;
    const parts = [tree, ...said];
    shared.set(entries, folder, prompts, parts);
    return parts;
  }

  return {
    sections: async (path, context) => sectionsAmong(await shown.get(), path, context),
    async prepare() {
      const outline = await shown.get();
      const folders = outline.filter(isPending).map(({ path }) => folderOf(path));
      const share = outlineShare(options.tokens ?? DEFAULT_TOKENS);
      for (const folder of [...new Set(folders)].slice(0, PREPARED_FOLDERS)) {
        const tree = await clean(treeSection(await renderOutline(outline, `${folder}/`, share)).text);
        if (options.tokens === undefined) shared.set(outline, folder, [], [tree]);
        // Requests for files that are opened in the meantime go first.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async compose(path, context) {
      const entries = await shown.get();
      const sections = await sectionsAmong(entries, path, context);
      const parts = await Promise.all(sections.map(({ text }) => clean(text)));
      if (isAlone(entries, context)) {
        shared.set(entries, folderOf(path), [], parts.slice(0, 1));
        shared.set(entries, folderOf(path), context.prompts, parts.slice(0, -1));
      }
      return messagesOf(parts);
    },
    composeAtOnce(path, context) {
      const entries = shown.atOnce();
      if (entries === undefined || !isAlone(entries, context)) return undefined;
      const parts = sharedParts(entries, folderOf(path), context.prompts);
      if (parts === undefined) return undefined;
      const task = cleanAtOnce(taskSection(namesOf(path, context.file)).text);
      return task === undefined ? undefined : messagesOf([...parts, task]);
    },
    async related(file, prompts) {
      const outline = await shown.get();
      const words = [file.description ?? "", ...prompts];
      return selectRelated(file, words, outline, tree, { budget: options.tokens ?? DEFAULT_TOKENS, clean });
    },
  };
}

/** The number of directories, and of different prompts in them, at most: files may have prompts of their own. */
const MOST_SHARED = 1000;

/**
 * The parts that the requests for the files of one directory have in common. Their size depends on nothing else: see
 * DEFAULT_TOKENS.
 */
class SharedParts {
  /** By the entries that they show, then by directory and prompts. */
  readonly #known = new WeakMap<readonly TreeEntry[], Map<string, readonly string[]>>();

  get(entries: readonly TreeEntry[], folder: string, prompts: readonly string[]): readonly string[] | undefined {
    return this.#known.get(entries)?.get(sharedKeyOf(folder, prompts));
  }

  set(entries: readonly TreeEntry[], folder: string, prompts: readonly string[], parts: readonly string[]): void {
    const known = this.#known.get(entries) ?? new Map<string, readonly string[]>();
    this.#known.set(entries, known);
    if (known.size >= MOST_SHARED) known.clear();
    known.set(sharedKeyOf(folder, prompts), parts);
  }
}

const redactedParts = new SharedParts();
const unchangedParts = new SharedParts();

/** A path contains no NUL. A prompt may, so its length comes before it. */
function sharedKeyOf(folder: string, prompts: readonly string[]): string {
  return prompts.length === 0 ? folder : `${folder}\0${prompts.map((one) => `${one.length}\0${one}`).join("")}`;
}

/** More than this behind the outline may have a beginning of its own that files have in common. */
const FEW = 2048;

/** By the text of an outline, which many files share. */
const outlineHeads = new LRUCache<string, Head>({ max: 256 });

function messagesOf(parts: readonly string[]): readonly ChatMessage[] {
  return [{ role: "system", content: CONTENT_INSTRUCTIONS }, joinParts(parts)];
}

function namesOf(path: string, { description }: Pick<FileInfo, "description">) {
  return { path: stripLeadingSlash(path), ...(description === undefined ? {} : { description }) };
}

function joinParts([tree = "", ...others]: readonly string[]): ChatMessage {
  const rest = `\n\n${others.join("\n\n")}`;
  if (rest.length > FEW) return { role: "user", content: tree + rest };
  const head = outlineHeads.get(tree) ?? { text: tree };
  outlineHeads.set(tree, head);
  const message = { role: "user" as const, content: "" };
  message.content = requestHeads.declare(message, head, rest);
  return message;
}

/** The entries that may be sent, by the ignore rules of the whole tree. A rule applies even if the user cannot read it. */
function createOutlineReader(tree: ContextTree, whole: ContextTree = tree): OutlineReader {
  const sendable = async () => filterVisible(await (whole.layout ?? whole.outline)(), whole.readStatic);
  const sendableAtOnce = () => {
    const layout = whole.layoutAtOnce?.();
    return layout && filterVisibleAtOnce(layout);
  };
  if (tree === whole) return { get: sendable, atOnce: sendableAtOnce };
  const known = new WeakMap<readonly TreeEntry[], { all: readonly TreeEntry[]; found: readonly TreeEntry[] }>();
  return {
    async get() {
      const [seen, all] = await Promise.all([(tree.layout ?? tree.outline)(), sendable()]);
      const before = known.get(seen);
      if (before?.all === all) return before.found;
      const allowed = new Set(all.map(({ path }) => path));
      const found = seen.filter(({ path }) => allowed.has(path));
      known.set(seen, { all, found });
      return found;
    },
    atOnce() {
      const seen = tree.layoutAtOnce?.();
      const before = seen && known.get(seen);
      return before && before.all === sendableAtOnce() ? before.found : undefined;
    },
  };
}

interface OutlineReader {
  get(): Promise<readonly TreeEntry[]>;
  /** The same at once; undefined if it must be fetched or computed first. */
  atOnce(): readonly TreeEntry[] | undefined;
}

/** Cached, because the same list is used for many files. */
const filesOf = new WeakMap<readonly TreeEntry[], ReadonlySet<string>>();

function createFileCheck(entries: readonly TreeEntry[]): (path: string) => boolean {
  const files = filesOf.get(entries) ?? new Set(entries.filter(({ type }) => type === "file").map(({ path }) => path));
  filesOf.set(entries, files);
  return (path) => files.has(path);
}

/** The tokens that the required parts leave. Throws FsError if these parts alone exceed the limit. */
async function measureRoom(fixed: readonly Section[], path: string, tokens: number | undefined): Promise<number> {
  if (tokens === undefined) return DEFAULT_TOKENS;
  const least = (await countTokens([CONTENT_INSTRUCTIONS, ...fixed.map(({ text }) => text)].join("\n\n"))) + AROUND;
  if (least <= tokens) return tokens - least;
  throw new FsError(
    "EIO",
    `${path}: its instructions and prompts alone need ${least} tokens, but --context-tokens is ${tokens}`,
  );
}

function outlineShare(room: number): number {
  return Math.max(0, Math.floor(room / 4) - AROUND);
}

/** The number of directories for which the outline is prepared in advance, which takes about a millisecond each. */
const PREPARED_FOLDERS = 128;

function isPending({ type, state }: TreeEntry): boolean {
  return type === "file" && state !== "static";
}

/** Models see paths without a leading slash, as projects use them. */
function stripLeadingSlash(path: string): string {
  return path.replace(/^\//, "");
}
