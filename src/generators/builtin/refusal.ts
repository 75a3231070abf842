/**
 * Recognizes an answer that declines in words instead of the API's own field. It may still be the file that was asked
 * for, such as a letter of apology, so it only causes a warning.
 */

/** Longer answers contain more than a refusal. */
const LONGEST = 600;

const DECLINES =
  /^(I['’]?m (very |really )?sorry|I am (very |really )?sorry|sorry|I apologize|I apologise|unfortunately)?\b[\s,.:;—-]*(but )?(I|we) (can['’]?t|cannot|can not|am unable to|['’]?m unable to|am not able to|won['’]?t|will not|must decline|decline)\b|^(I['’]?m|I am) (unable|not able|not allowed) to\b|^as an AI\b/i;

/** The first line of an answer that reads like a refusal; undefined for any other answer. */
export function findRefusal(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed.length > LONGEST || !DECLINES.test(trimmed)) return undefined;
  return trimmed.split("\n", 1)[0]?.slice(0, 100);
}
