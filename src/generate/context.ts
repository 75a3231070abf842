/**
 * What a model is told when it writes a file: the tree, the inherited instructions, the related static files, the task.
 *
 * It follows from the tree's definition alone (paths, types, descriptions, prompts, static contents): never from what
 * was read or generated before, never from times, owners, states, sizes or the place of the mount. So the same tree
 * gives the same request, whoever reads what first.
 */
import type { TreePort } from "../fs/port.ts";
import type { FileInfo, GeneratorContext, RelatedFile } from "../generators/generator.ts";
import type { ChatMessage } from "../llm/llm.ts";
import { visible } from "./ignore.ts";
import { renderOutline } from "./outline.ts";
import { CONTENT_INSTRUCTIONS, contentPrompt } from "./prompts.ts";
import { type Redact, redact } from "./redact.ts";
import { relatedFiles } from "./related.ts";

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

export type ContextTree = Pick<TreePort, "outline" | "readStatic">;

export interface ContextMaker {
  /** The messages of the request for one file. */
  compose(
    path: string,
    context: Pick<GeneratorContext, "file" | "prompts" | "related">,
  ): Promise<readonly ChatMessage[]>;
  /** `GeneratorContext.related` for one file. */
  related(file: FileInfo, prompts: readonly string[]): Promise<readonly RelatedFile[]>;
}

export function contextMaker(tree: ContextTree, options: ContextOptions = {}): ContextMaker {
  const budget = { ...DEFAULT_CONTEXT_BUDGET, ...options.budget };
  const clean: Redact = options.redact === false ? async (text) => text : redact;

  return {
    async compose(path, { file, prompts, related }) {
      const outline = await renderOutline(await visible(await tree.outline(), tree.readStatic), path, budget.outline);
      const user = contentPrompt({
        path: relative(path),
        ...(file.description === undefined ? {} : { description: file.description }),
        prompts,
        outline,
        related: (await related()).map((one) => ({ ...one, path: relative(one.path) })),
      });
      return [
        { role: "system", content: CONTENT_INSTRUCTIONS },
        { role: "user", content: await clean(user) },
      ];
    },
    async related(file, prompts) {
      const outline = await visible(await tree.outline(), tree.readStatic);
      const words = [file.description ?? "", ...prompts];
      return relatedFiles(file, words, outline, tree.readStatic, { budget: budget.related, clean });
    },
  };
}

/** Paths are shown to models as they are used inside projects. */
function relative(path: string): string {
  return path.replace(/^\//, "");
}
