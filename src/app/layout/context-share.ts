/**
 * How much of a local server's context a request takes.
 *
 * The results are part of what is requested, and so of the request keys. A recording notes the context that it was made
 * with, so that a replay without the server requests the same.
 */

/** A file's request takes half of the context; the other half is for the answer. */
const FOR_FILE = 0.5;

/** With a longer context, the defaults fit: 16,000 tokens and the instructions, twice. */
const LONG_ENOUGH = 36_000;

/** The tokens of a file in a layout's answer are about 60, and the instructions and the prompt need room too. */
const TOKENS_PER_FILE = 100;
const MOST_FILES = 200;
const LEAST_FILES = 10;

export interface ContextShare {
  /** The maximum tokens of a request for a file. Absent: the default. */
  readonly contextTokens?: number;
  /** The number of files above which a tree is laid out in several answers. Absent: the default. */
  readonly filesPerAnswer?: number;
}

/** What a user should know about it; undefined if the defaults apply. `contextTokens` is what the user has set. */
export function explainShare(
  share: ContextShare,
  {
    contextLength,
    contextTokens,
  }: { readonly contextLength: number | undefined; readonly contextTokens: number | undefined },
): string | undefined {
  const parts = [
    ...(share.contextTokens !== undefined && contextTokens === undefined
      ? [`a request for a file takes at most ${share.contextTokens} tokens (change it with --context-tokens)`]
      : []),
    ...(share.filesPerAnswer === undefined ? [] : [`a layout about ${share.filesPerAnswer} files an answer`]),
  ];
  return parts.length === 0 ? undefined : `the model's context has ${contextLength} tokens, so ${parts.join(", and ")}`;
}

/** `length` is the server's context in tokens; undefined if it is not known. */
export function shareContext(length: number | undefined): ContextShare {
  if (length === undefined || length >= LONG_ENOUGH) return {};
  const files = Math.max(LEAST_FILES, Math.floor(length / TOKENS_PER_FILE / 10) * 10);
  return {
    contextTokens: Math.floor(length * FOR_FILE),
    ...(files < MOST_FILES && { filesPerAnswer: files }),
  };
}
