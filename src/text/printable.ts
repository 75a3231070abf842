/**
 * Text from outside (models, servers, file names, attributes, snapshots), made safe to print.
 *
 * Terminals interpret control characters: ESC starts their commands, and so do C1 characters such as U+009B in some
 * terminals. Other characters affect how text is displayed: those that change the direction of writing, and invisible
 * ones, make a line look like another one. All of these are escaped as in a JSON string, so that text which is JSON
 * stays the same JSON.
 */

/**
 * Control characters except tab and newline; direction marks, overrides and isolates; line and paragraph separators;
 * invisible characters (except joiners, which scripts and emoji need); tags; and lone surrogates.
 */
const UNPRINTABLE =
  /[[\p{Cc}--[\n\t]]\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Cs}]/gv;

/** Keeps newlines and tabs. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeUnits);
}

/** For text that must stay on one line: newlines and tabs are escaped too. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\n\t]/g, (one) => (one === "\n" ? "\\n" : "\\t"));
}

/** By UTF-16 unit. */
function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
  }).join("");
}
