/**
 * Signatures of recordings. Without them, everyone who can write to a shared store could put any answer into it.
 *
 * A signature is an HMAC over the whole text of a recording: request, answer, key and header. It is a line of the
 * header itself, which programs without the key skip. Several keys may be valid at a time, so that a key can be
 * replaced: the first one signs, and any of them verifies.
 */

export interface Signer {
  /** Adds a signature to a text that has none. */
  sign(text: string): string;
  /** Throws Untrusted if none of the keys has signed exactly this text. */
  check(text: string): void;
  /** Whether the first key has signed it. */
  isCurrent(text: string): boolean;
}

/** The name of the header line. Its value is the id of the key, a space, and the HMAC in hexadecimal. */
export const SIGNED = "signed";

/** A recording whose signature is missing or wrong. */
export class Untrusted extends Error {
  readonly cure: string;
  /** Whether it may be valid with another key, so that it must not be removed as damaged. */
  readonly foreign: boolean;

  constructor(message: string, cure: string, foreign: boolean) {
    super(message);
    this.cure = cure;
    this.foreign = foreign;
  }
}

/** `keys`: the first one signs. There must be at least one. */
export function createSigner(keys: readonly string[]): Signer {
  const known = keys.map((key) => ({ key, id: idOf(key) }));
  const [first] = known;
  if (first === undefined) throw new Error("a signer needs a key");

  function find(text: string): { readonly key: string; readonly id: string } {
    const { value, body } = separate(text);
    if (value === undefined) throw new Untrusted("it is not signed", TRUST, true);
    const [id = "", mac = ""] = value.split(" ");
    const key = known.find((one) => one.id === id);
    if (key === undefined) {
      const own = known.length === 1 ? `yours is ${first?.id}` : `yours are ${known.map((one) => one.id).join(", ")}`;
      throw new Untrusted(`it is signed with the key ${/^\w{1,32}$/.test(id) ? id : "?"}; ${own}`, OTHER_KEY, true);
    }
    if (!isEqual(mac, macOf(key.key, body))) {
      throw new Untrusted("its signature is wrong: it was changed after it was signed", RECORD, false);
    }
    return key;
  }

  return {
    sign: (text) => insert(text, `${SIGNED}: ${first.id} ${macOf(first.key, text)}`),
    check: (text) => void find(text),
    isCurrent(text) {
      try {
        return find(text) === first;
      } catch {
        return false;
      }
    },
  };
}

const TRUST = "if you trust it, sign it with `llmfs recordings sign --unsigned`; otherwise record the answer again";
const OTHER_KEY = "add that key to LLMFS_RECORDINGS_KEY after yours, or record the answer again";
const RECORD = "record the answer again (--mode auto)";

/** Names a key without revealing it. */
function idOf(key: string): string {
  return macOf(key, "llmfs recordings: the id of this key").slice(0, 8);
}

function macOf(key: string, text: string): string {
  return new Bun.CryptoHasher("sha256", key).update(text).digest("hex");
}

function isEqual(mac: string, expected: string): boolean {
  return mac.length === expected.length && crypto.timingSafeEqual(Buffer.from(mac), Buffer.from(expected));
}

/** The position of the empty line that ends the header. */
function endOfHeader(text: string): number {
  const end = text.indexOf("\n\n");
  return end < 0 ? text.length : end;
}

function insert(text: string, line: string): string {
  const end = endOfHeader(text);
  return `${text.slice(0, end)}\n${line}${text.slice(end)}`;
}

/**
 * Separates the signature from the text that was signed. Only the first such line is a signature; others are signed
 * text.
 */
function separate(text: string): { readonly value?: string; readonly body: string } {
  const mark = `\n${SIGNED}: `;
  const end = endOfHeader(text);
  const at = text.slice(0, end).indexOf(mark);
  if (at < 0) return { body: text };
  const next = text.indexOf("\n", at + 1);
  const over = next < 0 ? text.length : next;
  return { value: text.slice(at + mark.length, over), body: text.slice(0, at) + text.slice(over) };
}
