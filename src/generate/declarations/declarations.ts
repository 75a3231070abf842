/**
 * Reduces a file to its declarations: signatures, types, exports, headings, column names. Another file needs these if
 * there is no room for the whole file.
 *
 * The result depends only on the path and the content, because it is part of request keys. Therefore no step has a time
 * limit.
 */
import { skeletonOf } from "./data.ts";
import { languageOf } from "./languages.ts";

/** Longer texts are not parsed, because that would delay other work for too long. In UTF-16 code units. */
const LONGEST_PROGRAM = 128 * 1024;
const LONGEST = 1024 * 1024;

/** Undefined if the format is unknown or cannot be parsed, or if the declarations are not shorter than the file. */
export async function declarationsOf(path: string, text: string): Promise<string | undefined> {
  const language = languageOf(path, text);
  if (text.length > (language === undefined ? LONGEST : LONGEST_PROGRAM)) return undefined;
  const found =
    language === undefined ? skeletonOf(path, text) : await (await import("./code.ts")).outlineCode(language, text);
  if (found === undefined || found.trim() === "" || found.length >= text.length) return undefined;
  return found.endsWith("\n") ? found : `${found}\n`;
}
