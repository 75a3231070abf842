/** Renders Liquid templates, in the helper: a template that loops, or filters too much, delays only other templates. */
import { posix } from "node:path";
import { FsError } from "../../errno.ts";
import { formatTimeSpan } from "../../text/duration.ts";
import { isRecord } from "../config/options.ts";
import { parseCsv } from "../formats/csv.ts";
import type { Conversation } from "./child.ts";
import type { TemplateTask } from "./messages.ts";

/** A template that loops is stopped. The time it waits does not count. */
const RENDER_MS = 5_000;
/** Elements and characters. */
const MEMORY_UNITS = 30_000_000;

export async function renderTemplate(task: TemplateTask, { ask, input, result, piece }: Conversation): Promise<void> {
  const { path, name, variables } = task;
  const text = new TextDecoder().decode(await input());
  const { Context, Liquid } = await import("liquidjs");
  const work = new WorkTime();
  // The other side answers each question with the type in the contract.
  const read = async (file: string) =>
    new TextDecoder().decode(await work.without(() => ask("read", file) as Promise<Uint8Array>));
  const liquid = new Liquid({
    fs: {
      readFile: async (file) => (file === name ? text : await read(file)),
      readFileSync: () => "",
      exists: async () => true,
      existsSync: () => true,
      resolve: (folder, file) => (file === name ? name : posix.resolve("/", folder, file)),
    },
    root: [posix.dirname(path)],
    relativeReference: false,
    ownPropertyOnly: true,
    // A filter with a typing error would change nothing, silently.
    strictFilters: true,
    parseLimit: MEMORY_UNITS,
    memoryLimit: MEMORY_UNITS,
  });
  liquid.registerFilter("read", (file: unknown) => read(posix.resolve(posix.dirname(path), String(file))));
  liquid.registerFilter("parse_json", (json: unknown) => JSON.parse(String(json)));
  liquid.registerFilter("parse_csv", (csv: unknown) => parseCsv(String(csv)));
  try {
    const templates = await liquid.parseFile(name);
    const rendering = new Context({ ...variables, tree: () => work.without(() => ask("outline", "")) }, liquid.options);
    // Liquid's own limit would also count the time to generate files.
    rendering.renderLimit.check = () => work.check(RENDER_MS);
    const rendered: unknown = await liquid.render(templates, rendering);
    result(undefined);
    await piece(Buffer.from(String(rendered)));
  } catch (error) {
    throw explainError(error);
  }
}

/** Measures how long something has been working. */
class WorkTime {
  readonly #begun = performance.now();
  #waited = 0;

  /** Waits without counting the time as work. */
  async without<T>(waiting: () => Promise<T>): Promise<T> {
    const since = performance.now();
    try {
      return await waiting();
    } finally {
      this.#waited += performance.now() - since;
    }
  }

  /** Throws Error if it has worked for more than `ms` milliseconds. */
  check(ms: number): void {
    if (performance.now() - this.#begun - this.#waited > ms)
      throw new Error(`rendering took longer than ${formatTimeSpan(ms)}`);
  }
}

/** Liquid's messages end in file, line and column; the errno of a file in the tree is kept. */
function explainError(error: unknown): Error {
  const original = isRecord(error) && error.originalError instanceof Error ? error.originalError : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const inner = error instanceof FsError ? error : original instanceof FsError ? original : undefined;
  return inner === undefined
    ? new FsError("EIO", message, { cause: error })
    : new FsError(inner.code, message, { cause: error });
}
