/**
 * Converts C structs to objects and back. The only codec of the kernel's protocol.
 *
 * A struct is declared once, field by field as in <linux/fuse.h>, and compiled to two functions: one reads an object
 * from a buffer, the other writes it. They are compiled so that every struct has one shape, and no loop over its fields
 * runs for each message. The codec does not know what a struct means.
 *
 * All numbers are little-endian, as on every machine that llmfs supports.
 */
import type { Wide } from "../int64.ts";

/** A field's type. `size` is its number of bytes in the struct; 0 for fields that take the rest of the message. */
export interface Field<T> {
  readonly size: number;
  /**
   * JavaScript code that reads the field. `b` (Buffer) and `w` (Uint32Array) have the same bytes, and the struct begins at
   * `w[i]`. `at` is code for the field's offset in `b`; its first word is `w[i + index]`.
   */
  readonly decode: (at: string, index: number) => string;
  /** JavaScript code that writes `value`, the name of a variable or of its property. `v` is a variable for its use. */
  readonly encode: (at: string, value: string, index: number) => string;
  /** Never present at run time: carries the type. */
  readonly type?: T;
}

export type FieldValue<F> = F extends Field<infer T> ? T : never;

function field<T>(size: number, decode: Field<T>["decode"], encode: Field<T>["encode"]): Field<T> {
  return { size, decode, encode };
}

/** The number in which a field of four bytes is. The kernel aligns all of them. */
const word = (index: number) => `w[i + ${index}]`;

/**
 * The code for a number of 64 bits. Nearly all of them fit into 32, and are read as such: what comes out of a computation
 * with fractions is handled as one from then on, which is slower.
 */
const readWide = (index: number, upper = word(index + 1)) =>
  `(${word(index + 1)} === 0 ? ${word(index)} : ${word(index)} + ${upper} * 4294967296)`;

const writeWide = (index: number, value: string) =>
  `v = ${value}; ${word(index)} = v; ${word(index + 1)} = v >>> 0 === v ? 0 : Math.floor(v / 4294967296);`;

export const u16 = field<number>(
  2,
  (at) => `(b[${at}] | b[${at} + 1] << 8)`,
  (at, value) => `b[${at}] = ${value}; b[${at} + 1] = ${value} >>> 8;`,
);

export const u32 = field<number>(
  4,
  (_, index) => word(index),
  (_, value, index) => `${word(index)} = ${value};`,
);

export const i32 = field<number>(
  4,
  (_, index) => `(${word(index)} | 0)`,
  (_, value, index) => `${word(index)} = ${value};`,
);

/** A 64-bit field used in computations: a number, exact up to 2^53. Code that computes must reject more (EFBIG). */
export const u64 = field<number>(
  8,
  (_, index) => readWide(index),
  (_, value, index) => writeWide(index, value),
);

/** A 64-bit size or offset in a file, up to 2^63 - 1: a bigint if a number would not be exact. */
export const wide64 = field<Wide>(
  8,
  (at, index) => `(${word(index + 1)} < 0x200000 ? ${readWide(index)} : b.readBigUInt64LE(${at}))`,
  (at, value, index) =>
    `if (typeof ${value} === "bigint") b.writeBigUInt64LE(${value}, ${at}); else { ${writeWide(index, value)} }`,
);

/** Signed, for seconds before 1970. */
export const i64 = field<number>(
  8,
  (_, index) => readWide(index, `(${word(index + 1)} | 0)`),
  (_, value, index) => writeWide(index, value),
);

/** Padding and unused fields: written as zeros. */
export function pad(size: number): Field<undefined> {
  return field<undefined>(
    size,
    () => "undefined",
    (at, _, index) => (size === 4 ? `${word(index)} = 0;` : `b.fill(0, ${at}, ${at} + ${size});`),
  );
}

/**
 * A name up to its NUL, one character for each byte (Latin-1), as everywhere in llmfs. It must follow the fixed fields.
 */
export const name = field<string>(
  0,
  (at) => `b.latin1Slice(${at}, end = nul(b, ${at}, limit))`,
  (at, value) => `b.latin1Write(${value}, ${at}); b[${at} + ${value}.length] = 0;`,
);

/** The rest of the message, as a view of the request's buffer: copy what must outlive the request. */
export const rest = field<Uint8Array>(
  0,
  (at) => `b.subarray(${at}, limit)`,
  (at, value) => `b.set(${value}, ${at});`,
);

export type Fields = Readonly<Record<string, Field<unknown>>>;

type Flat<F extends Fields> = {
  readonly [K in keyof F as FieldValue<F[K]> extends undefined ? never : K]: FieldValue<F[K]>;
};

export interface Struct<T> {
  /** The number of bytes in the fixed fields. */
  readonly size: number;
  readonly fields: Fields;
  /** The offset of each fixed field. */
  readonly offsets: ReadonlyMap<string, number>;
  /**
   * Reads the struct at `offset`; `limit` is the end of the message. Throws MalformedMessage if the message is too
   * short.
   */
  decode(buffer: Buffer, words: Uint32Array, offset: number, limit: number): T;
  /** Writes the struct at `offset` and returns the offset after it. */
  encode(buffer: Buffer, words: Uint32Array, offset: number, value: T): number;
}

export type StructValue<S> = S extends Struct<infer T> ? T : never;

/** A message that is shorter than its struct, or a name without a NUL. */
export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage";
}

function tooShort(what: string, have: number, want: number): never {
  throw new MalformedMessage(`${what}: ${have} bytes where ${want} are needed`);
}

/** The same bytes as numbers of 32 bits. The buffer must begin at a multiple of 4, as all but parts of buffers do. */
export function wordsOf(buffer: Buffer): Uint32Array {
  return new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length >>> 2);
}

function nul(buffer: Buffer, from: number, limit: number): number {
  // Names are short, so that this is faster than a call of `indexOf`.
  let end = from;
  while (end < limit && buffer[end] !== 0) end++;
  if (end >= limit) throw new MalformedMessage("a name without its NUL");
  return end;
}

/**
 * Declares a C struct. Fields are in order; names and `rest` must be at the end. Its functions are written and compiled
 * when they are first called: most messages never come, and making all of these functions would take longer than
 * everything else that the filesystem thread does before it answers.
 */
export function struct<F extends Fields>(fields: F): Struct<Flat<F>> {
  const offsets = new Map<string, number>();
  let size = 0;
  let variable = false;
  for (const [key, type] of Object.entries(fields)) {
    if (type.size === 0) {
      variable = true;
      continue;
    }
    if (variable) throw new Error(`${key}: a fixed field cannot follow one of variable length`);
    offsets.set(key, size);
    size += type.size;
  }
  const compileDecode = (): Struct<Flat<F>>["decode"] => {
    const { statements, results } = writeDecode(fields, offsets, size);
    return new Function(
      "tooShort",
      "nul",
      `return function decode(b, w, o, limit) {
        if (limit - o < ${size}) tooShort("message", limit - o, ${size});
        const i = o >>> 2;
        ${statements.join("\n")}
        return { ${results.join(", ")} };
      }`,
    )(tooShort, nul);
  };
  const compileEncode = (): Struct<Flat<F>>["encode"] =>
    new Function(
      `return function encode(b, w, o, value) {
        const i = o >>> 2;
        let v;
        ${writeEncode(fields, offsets, size).join("\n")}
        return ${variable ? "end" : `o + ${size}`};
      }`,
    )();
  const self: { -readonly [K in keyof Struct<Flat<F>>]: Struct<Flat<F>>[K] } = {
    size,
    fields,
    offsets,
    decode(buffer, words, offset, limit) {
      self.decode = compileDecode();
      return self.decode(buffer, words, offset, limit);
    },
    encode(buffer, words, offset, value) {
      self.encode = compileEncode();
      return self.encode(buffer, words, offset, value);
    },
  };
  return self;
}

type Offsets = ReadonlyMap<string, number>;

/** The code of `decode`: statements, and the properties of the object that it returns. */
function writeDecode(fields: Fields, offsets: Offsets, size: number) {
  const statements: string[] = [];
  const results: string[] = [];
  for (const [key, type] of Object.entries(fields)) {
    const offset = offsets.get(key);
    if (offset !== undefined) {
      const code = type.decode(`(o + ${offset})`, offset >>> 2);
      if (code !== "undefined") results.push(`${key}: ${code}`);
      continue;
    }
    const first = statements.length === 0;
    if (first) statements.push(`let end = o + ${size};`);
    statements.push(`const ${key} = ${type.decode(first ? "end" : "end + 1", 0)};`);
    results.push(key);
  }
  return { statements, results };
}

/** The statements of `encode`. */
function writeEncode(fields: Fields, offsets: Offsets, size: number): readonly string[] {
  const statements: string[] = [];
  let variable = false;
  for (const [key, type] of Object.entries(fields)) {
    const offset = offsets.get(key);
    if (offset !== undefined) {
      statements.push(type.encode(`(o + ${offset})`, `value.${key}`, offset >>> 2));
      continue;
    }
    if (!variable) statements.push(`let end = o + ${size};`);
    variable = true;
    statements.push(type.encode("end", `value.${key}`, 0), `end += value.${key}.length${type === name ? " + 1" : ""};`);
  }
  return statements;
}

/** A struct within a struct. */
export function nested<T>(inner: Struct<T>): Field<T> {
  const keys: [string, Field<unknown>, number][] = Object.entries(inner.fields).map(([key, type]) => {
    const offset = inner.offsets.get(key);
    if (offset === undefined) throw new Error(`${key}: only fixed fields can be nested`);
    return [key, type, offset];
  });
  return field<T>(
    inner.size,
    (at, index) =>
      `{ ${keys
        .filter(([, type]) => type.decode("0", 0) !== "undefined")
        .map(([key, type, offset]) => `${key}: ${type.decode(`(${at} + ${offset})`, index + (offset >>> 2))}`)
        .join(", ")} }`,
    (at, value, index) => {
      const name = value.replaceAll(".", "_");
      const code = keys.map(([key, type, offset]) =>
        type.encode(`(${at} + ${offset})`, `${name}.${key}`, index + (offset >>> 2)),
      );
      return [`const ${name} = ${value};`, ...code].join("\n");
    },
  );
}
