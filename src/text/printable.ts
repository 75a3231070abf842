/**
 * Text from outside (models, servers, file names, attributes, snapshots), made safe to print.
 *
 * Terminals obey control characters: ESC begins their commands, and so do the C1 characters, such as U+009B, in terminals
 * that know them. Other characters are obeyed by whatever draws the text: those that turn the direction of writing, and
 * those that take no room, make a line look like another one. All of these are written as JSON writes them in a string,
 * so that text which is JSON stays the same JSON.
 */

/**
 * Control characters but for tab and newline; marks, overrides and isolates of direction; separators of lines and
 * paragraphs; what takes no room (joiners, which scripts and emoji need, left out); tags; and halves of a surrogate pair.
 */
const UNPRINTABLE =
  /[[\p{Cc}--[\n\t]]\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Cs}]/gv;

/** Newlines and tabs stay. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeUnits);
}

/** For what must not begin another line: newlines and tabs are escaped, too. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\n\t]/g, (one) => (one === "\n" ? "\\n" : "\\t"));
}

/** By UTF-16 unit. */
function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
  }).join("");
}
