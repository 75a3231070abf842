/** A server's lists hold some hundred models, and could go on for ever. */
const LONGEST_JSON = 16 * 1024 * 1024;

/** A body that is JSON. Rejects with SyntaxError for anything else, or more than is taken. */
export async function jsonOf(response: Response, most = LONGEST_JSON): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > most) throw new SyntaxError(`the answer has more than ${most} bytes`);
    pieces.push(piece);
  }
  return JSON.parse(Buffer.concat(pieces).toString("utf8"));
}
