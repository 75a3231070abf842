/** The target of the first link to the next page in a Link header (RFC 8288): `<URL>; rel="next", …`. */
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

/** The start of the next link: after a comma outside of quotes. */
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

/** Whether one of the parameters is the relation "next"; a relation may contain several words. */
function leadsOn(parameters: string): boolean {
  return parameters.split(";").some((parameter) => {
    const [name = "", ...rest] = parameter.split("=");
    if (name.trim().toLowerCase() !== "rel") return false;
    const value = rest.join("=").trim().replaceAll('"', "");
    return value.toLowerCase().split(/[\s,]/).includes("next");
  });
}
