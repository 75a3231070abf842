import { isUtf8 } from "node:buffer";
import { FsError } from "../../../errno.ts";

/**
 * The body of a JSON response in UTF-8. JSON has to be UTF-8, whatever the response declares; other bytes are read as the
 * declared character set. Throws FsError if that does not help: replacement characters would go unnoticed in a file.
 */
export function toUtf8(bytes: Uint8Array, headers: Headers): Uint8Array {
  if (isUtf8(bytes)) return bytes;
  const declared = /;\s*charset\s*=\s*"?([\w.:-]{1,40})/i.exec(headers.get("content-type") ?? "")?.[1];
  try {
    // An unknown name throws.
    if (declared !== undefined)
      return Buffer.from(new TextDecoder(declared as Bun.Encoding, { fatal: true }).decode(bytes));
  } catch {
    // Not known, or not what the bytes are.
  }
  const what = declared === undefined ? "UTF-8" : `UTF-8 or ${declared}`;
  throw new FsError("EIO", `the response is not ${what}`);
}
