/**
 * A test of the contract for any generator.
 *
 * It does not depend on a test framework: it returns a list of problems, which is empty on success.
 */
import type { ContentGenerator, GeneratorContext, ListContext } from "./contract.ts";

export interface ContractCase {
  /** A path that the generator can generate. */
  readonly path: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly params?: Readonly<Record<string, string>>;
  readonly match?: string;
  /** The files that it reads, by path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** A directory that it lists. */
  readonly directory?: string;
}

/** Returns every violation of the contract. */
export async function contractTest(generator: ContentGenerator, one: ContractCase): Promise<readonly string[]> {
  const problems: string[] = [];
  const check = async (what: string, work: () => Promise<string | undefined>) => {
    try {
      const problem = await work();
      if (problem !== undefined) problems.push(`${what}: ${problem}`);
    } catch (error) {
      problems.push(`${what}: it threw ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const context = (signal: AbortSignal = new AbortController().signal) => contextOf(one, signal);
  await check("validate", async () => void (await generator.validate?.(one.options ?? {})));
  await check("generate", async () => describe((await bytesOf(generator, one.path, context())).bytes));
  await check("generate, twice at once", async () => {
    const [first, second] = await Promise.all([0, 1].map(() => bytesOf(generator, one.path, context())));
    return first?.bytes !== undefined && second?.bytes !== undefined ? undefined : "one of the two returned no content";
  });
  await check("metadata", async () => {
    const { metadata } = await bytesOf(generator, one.path, context());
    const bad = Object.entries(metadata).find(([, value]) => !["string", "number", "boolean"].includes(typeof value));
    return bad === undefined ? undefined : `${bad[0]} is not text, a number or a boolean`;
  });
  await check("an aborted signal", async () => {
    const stop = new AbortController();
    stop.abort(new Error("aborted by the contract"));
    const outcome = bytesOf(generator, one.path, context(stop.signal)).then(
      () => "done",
      () => "done",
    );
    return (await Promise.race([outcome, timeout(5000)])) === "done" ? undefined : "it continued for five seconds";
  });
  const { directory } = one;
  if (generator.list !== undefined && directory !== undefined) {
    await check("list", async () => {
      for await (const entry of (await generator.list?.(directory, context())) ?? []) {
        const path = typeof entry === "string" ? entry : entry.path;
        if (path === "" || path.startsWith("/") || path.split("/").some((name) => name === ".." || name === ".")) {
          return `${JSON.stringify(path)} is not a path below the directory`;
        }
      }
      return undefined;
    });
  }
  await check("dispose", async () => void (await generator.dispose?.()));
  return problems;
}

/** Avoids types of Bun and Node, because users compile this file with their own settings. */
function timeout(ms: number): Promise<"late"> {
  return new Promise((resolve) => setTimeout(resolve, ms, "late"));
}

function describe(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? "it returned no content, and there was no previous content" : undefined;
}

async function bytesOf(generator: ContentGenerator, path: string, context: GeneratorContext) {
  const result = await generator.generate(path, context);
  if ("unchanged" in result) return { bytes: undefined, metadata: {} };
  const { content, metadata = {} } = result;
  if (typeof content === "string") return { bytes: new TextEncoder().encode(content), metadata };
  if (content instanceof Uint8Array) return { bytes: content, metadata };
  if (content instanceof Blob) return { bytes: await content.bytes(), metadata };
  if (typeof content === "object" && content !== null && Symbol.asyncIterator in content) {
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
    return { bytes: await new Blob(pieces.map((piece) => Uint8Array.from(piece))).bytes(), metadata };
  }
  const text: string | undefined = JSON.stringify(content);
  if (text === undefined) throw new Error("content is neither text, bytes, an async iterable nor a JSON value");
  return { bytes: new TextEncoder().encode(text), metadata };
}

function contextOf(one: ContractCase, signal: AbortSignal): GeneratorContext & ListContext {
  const files = new Map(Object.entries(one.files ?? {}));
  const xattrs = new Map<string, string>();
  return {
    file: { path: one.path, type: "file", state: "pending", mode: 0o644, uid: 0, gid: 0, xattrs },
    prompts: [],
    options: one.options ?? {},
    params: one.params ?? {},
    ...(one.match === undefined ? {} : { match: one.match }),
    setting: async () => undefined,
    outline: async () => [...files.keys()].map((path) => ({ path, type: "file", state: "static" })),
    related: async () => [],
    list: async (path) =>
      [...files.keys()].filter((file) => file.startsWith(`${path}/`)).map((file) => ({ path: file, type: "file" })),
    async read(path) {
      const content = files.get(path);
      if (content === undefined)
        throw Object.assign(new Error(`${path}: no such file`), { name: "FsError", code: "ENOENT" });
      return typeof content === "string" ? new TextEncoder().encode(content) : content;
    },
    signal,
    log: { debug() {}, info() {}, warn() {} },
  };
}
