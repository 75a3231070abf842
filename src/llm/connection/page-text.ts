/** Longer than any message for people. */
const ENOUGH = 2000;

/** The text of a web page without tags, scripts and styles, cut to what fits into a message. */
export function textOfPage(html: string): string {
  const texts: string[] = [];
  const lower = html.toLowerCase();
  /** Elements whose end tag does not follow any more. */
  const open = new Set<string>();
  let length = 0;
  for (let at = 0; at < html.length && length < ENOUGH; ) {
    const tag = html.indexOf("<", at);
    const text = html.slice(at, tag < 0 ? html.length : tag).trim();
    if (text !== "") texts.push(text);
    length += text.length;
    if (tag < 0) break;
    const skipped = ["script", "style"].find((name) => lower.startsWith(name, tag + 1) && !open.has(name));
    const end = skipped === undefined ? -1 : lower.indexOf(`</${skipped}`, tag);
    if (skipped !== undefined && end < 0) open.add(skipped);
    const close = html.indexOf(">", Math.max(tag, end));
    if (close < 0) break;
    at = close + 1;
  }
  return texts.join(" ");
}
