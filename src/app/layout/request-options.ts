import type { RequestOptions } from "../../generate/structure/conversation.ts";
import type { Config } from "../settings/settings.ts";
import { shareContext } from "./context-share.ts";

export interface LayoutModel {
  readonly name: string;
  /** The context of a local server in tokens, if it is known. */
  readonly contextLength?: number | undefined;
}

/** What the settings and the model decide about every request of a layout. */
export function layoutRequestOptions(
  { layoutTokens, depends }: Pick<Config, "layoutTokens" | "depends">,
  { name, contextLength }: LayoutModel,
): RequestOptions {
  const { filesPerAnswer } = shareContext(contextLength);
  return {
    modelName: name,
    ...(!depends && { uses: false }),
    ...(layoutTokens !== undefined && { maxTokens: layoutTokens }),
    ...(filesPerAnswer !== undefined && { filesPerAnswer }),
  };
}
