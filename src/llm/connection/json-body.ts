/** A server's lists contain some hundred models, but could be endless. */
const LONGEST_JSON = 16 * 1024 * 1024;

/** A body parsed as JSON. Rejects with SyntaxError for anything else, or for more than `most` bytes. */
export async function jsonOf(response: Response, most = LONGEST_JSON): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > most) throw new SyntaxError(`the answer is longer than ${most} bytes`);
    pieces.push(piece);
  }
  return JSON.parse(Buffer.concat(pieces).toString("utf8"));
}
