/** The target of the first link that leads to the next page, of a header as RFC 8288 has it: `<URL>; rel="next", …`. */
export function findNextLink(header: string): string | undefined {
  for (let at = header.indexOf("<"); at >= 0; at = header.indexOf("<", at)) {
    const end = header.indexOf(">", at);
    if (end < 0) return undefined;
    const target = header.slice(at + 1, end);
    at = endOfLink(header, end + 1);
    if (leadsOn(header.slice(end + 1, at))) return target;
  }
  return undefined;
}

/** Where the next link begins: behind a comma that stands in no quotes. */
function endOfLink(header: string, from: number): number {
  let quoted = false;
  for (let at = from; at < header.length; at++) {
    const character = header[at];
    if (quoted && character === "\\") at += 1;
    else if (character === '"') quoted = !quoted;
    else if (character === "," && !quoted) return at + 1;
  }
  return header.length;
}

/** Whether one of the parameters is a relation that says so; there may be several words in it. */
function leadsOn(parameters: string): boolean {
  return parameters.split(";").some((parameter) => {
    const [name = "", ...rest] = parameter.split("=");
    if (name.trim().toLowerCase() !== "rel") return false;
    const value = rest.join("=").trim().replaceAll('"', "");
    return value.toLowerCase().split(/[\s,]/).includes("next");
  });
}
