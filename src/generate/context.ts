/**
 * What a model is told when it writes a file: the tree, the inherited instructions, the related static files, the task.
 *
 * It follows from the tree's definition alone (paths, types, descriptions, prompts, static contents): never from what
 * was read or generated before, never from times, owners, states, sizes or the place of the mount. So the same tree
 * gives the same request, whoever reads what first.
 */
import { FsError } from "../errno.ts";
import type { TreePort } from "../fs/port.ts";
import type { FileInfo, GeneratorContext, RelatedFile, TreeEntry } from "../generators/generator.ts";
import type { ChatMessage } from "../llm/llm.ts";
import { dependedOn } from "./depends.ts";
import { fsError } from "./failure.ts";
import { visible } from "./ignore.ts";
import { folderOf, renderOutline } from "./outline.ts";
import { CONTENT_INSTRUCTIONS, contentSections, type Section, treeSection } from "./prompts.ts";
import { type Redact, redact } from "./redact.ts";
import { fill, relatedFiles, textOf } from "./related.ts";

export interface ContextBudget {
  /** Tokens for the outline. */
  readonly outline: number;
  /** Tokens for the related files. */
  readonly related: number;
}

export const DEFAULT_CONTEXT_BUDGET: ContextBudget = { outline: 4_000, related: 12_000 };

export interface ContextOptions {
  readonly budget?: Partial<ContextBudget>;
  /** What looks like a secret is taken out by default; false sends everything as it is. */
  readonly redact?: boolean;
}

export type ContextTree = Pick<TreePort, "outline" | "layout" | "readStatic" | "readStatics">;

/** What the request for a file is made from. */
export type ComposeContext = Pick<GeneratorContext, "file" | "prompts" | "related" | "read">;

export interface ContextMaker {
  /** The messages of the request for one file. */
  compose(path: string, context: ComposeContext): Promise<readonly ChatMessage[]>;
  /** Loads and computes what the first request would have to wait for. */
  prepare(): Promise<void>;
  /** The parts of the user's message, before secrets are taken out of the whole, and why each is in it. */
  sections(path: string, context: ComposeContext): Promise<readonly Section[]>;
  /** `GeneratorContext.related` for one file. */
  related(file: FileInfo, prompts: readonly string[]): Promise<readonly RelatedFile[]>;
}

export function contextMaker(tree: ContextTree, options: ContextOptions = {}): ContextMaker {
  const budget = { ...DEFAULT_CONTEXT_BUDGET, ...options.budget };
  const clean: Redact = options.redact === false ? async (text) => text : redact;

  const layout = tree.layout ?? tree.outline;
  const shown = async () => visible(await layout(), tree.readStatic);

  async function sections(path: string, context: ComposeContext): Promise<readonly Section[]> {
    const { file, prompts, related, read } = context;
    const declared = await dependencies(path, file, read, clean);
    const names = new Set(declared.map((one) => one.path));
    const others = (await related()).filter((one) => !names.has(one.path));
    const chosen = declared.length === 0 ? others : await fill([...declared, ...others], budget.related);
    const outline = await renderOutline(await shown(), path, budget.outline);
    return contentSections({
      path: relative(path),
      ...(file.description === undefined ? {} : { description: file.description }),
      prompts,
      outline,
      related: chosen.map((one) => ({ ...one, path: relative(one.path) })),
    });
  }

  return {
    sections,
    async prepare() {
      const outline = await shown();
      const folders = outline.filter(isPending).map(({ path }) => folderOf(path));
      for (const folder of [...new Set(folders)].slice(0, PREPARED_FOLDERS)) {
        await clean(treeSection(await renderOutline(outline, `${folder}/`, budget.outline)).text);
        // Whoever opens a file meanwhile goes first.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async compose(path, context) {
      const parts = (await sections(path, context)).map(({ text }) => clean(text));
      return [
        { role: "system", content: CONTENT_INSTRUCTIONS },
        { role: "user", content: (await Promise.all(parts)).join("\n\n") },
      ];
    },
    async related(file, prompts) {
      const outline = await shown();
      const words = [file.description ?? "", ...prompts];
      return relatedFiles(file, words, outline, tree, { budget: budget.related, clean });
    },
  };
}

/** What the tree looks like from each of so many directories is drawn ahead: about a millisecond each. */
const PREPARED_FOLDERS = 128;

function isPending({ type, state }: TreeEntry): boolean {
  return type === "file" && state !== "static";
}

/**
 * The files that `user.llmfs.depends` names, a path a line, relative to the file's own directory or absolute within the
 * mount. They are read, and so generated first: the only generated content that another file is made of.
 */
async function dependencies(
  path: string,
  file: FileInfo,
  read: GeneratorContext["read"],
  clean: Redact,
): Promise<readonly RelatedFile[]> {
  const paths = dependedOn(path, file.xattrs.get("user.llmfs.depends"));
  const found: RelatedFile[] = [];
  for (const one of paths) {
    const bytes = await read(one).catch((error: unknown) => {
      throw unreadable(path, one, error);
    });
    const content =
      textOf(bytes, LONGEST_DEPENDENCY) ?? (bytes.length === 0 ? "" : `(${bytes.length} bytes, no text)\n`);
    found.push({ path: one, reason: "this file depends on it", content: await clean(content) });
  }
  return found;
}

const LONGEST_DEPENDENCY = 1024 * 1024;

/** "No such file" is true of the dependency; to the reader of this file it would be a lie. */
function unreadable(path: string, dependency: string, error: unknown): FsError {
  const { code, message } = fsError(error, dependency);
  const misleading = code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR";
  const cure = misleading ? "; correct user.llmfs.depends" : "";
  return new FsError(misleading ? "EIO" : code, `${path} depends on ${dependency}: ${message}${cure}`, {
    cause: error,
  });
}

/** Paths are shown to models as they are used inside projects. */
function relative(path: string): string {
  return path.replace(/^\//, "");
}
