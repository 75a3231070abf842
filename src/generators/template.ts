/**
 * Liquid templates as content.
 *
 * | option | |
 * |---|---|
 * | `template` | a file, relative to the configuration file |
 * | `text` | the template itself |
 * | `folder` | a folder of templates, which appears in the tree as it is; `a.md.liquid` becomes `a.md` |
 * | `vars` | any data, as the variable `vars` |
 * | `env` | names of environment variables, as the variable `env` |
 *
 * Variables: `path`, `params`, `file` (mode, description …), `prompts`, `vars`, `env`, `tree` (all entries). Includes are
 * files of the tree: `{% include "/header.liquid" %}`; `{{ "/views/top.csv" | read }}` is a file's text as it is, and the
 * filters `parse_json` and `parse_csv` (rows as objects) take it apart. A file that is pending is made first.
 */
import { readdir } from "node:fs/promises";
import { join, normalize, posix, resolve } from "node:path";
import { FsError } from "../errno.ts";
import { parseCsv } from "./csv.ts";
import type { GeneratorContext, ListedEntry } from "./generator.ts";
import { refusePathInMount } from "./host-path.ts";
import { isRecord, neededText, type Options, onlyOptions, textOption, textsOption } from "./options.ts";
import { pattern } from "./pattern.ts";
import type { SourceGenerator, SourceParts } from "./source.ts";

const ENDING = ".liquid";
/** A template that loops is stopped: it shares a thread with everybody else's content. What it waits for is not counted. */
const RENDER_MS = 5_000;
/** Elements and characters. */
const MEMORY_UNITS = 30_000_000;

export function templateGenerator({ base, environment }: SourceParts): SourceGenerator {
  return {
    lists: (options) => options.folder !== undefined,
    validate(options) {
      onlyOptions(options, ["template", "text", "folder", "vars", "env"]);
      const given = ["template", "text", "folder"].filter((name) => options[name] !== undefined);
      if (given.length !== 1) throw new Error('it needs one of the options "template", "text" and "folder"');
      neededText(options, given[0] ?? "", '"./report.md.liquid"');
      textsOption(options, "env");
    },
    async generate(path, context) {
      const { Context, Liquid } = await import("liquidjs");
      const work = new WorkTime();
      const { options } = context;
      const [name, text] = await source(path, context, base);
      const liquid = new Liquid({
        fs: {
          readFile: async (file) =>
            file === name ? text : new TextDecoder().decode(await work.without(() => context.read(file))),
          readFileSync: () => "",
          exists: async () => true,
          existsSync: () => true,
          resolve: (folder, file) => (file === name ? name : posix.resolve("/", folder, file)),
        },
        root: [posix.dirname(path)],
        relativeReference: false,
        ownPropertyOnly: true,
        parseLimit: MEMORY_UNITS,
        memoryLimit: MEMORY_UNITS,
      });
      liquid.registerFilter("read", async (file: unknown) =>
        new TextDecoder().decode(
          await work.without(() => context.read(posix.resolve(posix.dirname(path), String(file)))),
        ),
      );
      liquid.registerFilter("parse_json", (json: unknown) => JSON.parse(String(json)));
      liquid.registerFilter("parse_csv", (csv: unknown) => parseCsv(String(csv)));
      const { mode, uid, gid, description } = context.file;
      const variables = {
        path,
        params: context.params,
        prompts: context.prompts,
        file: { mode: mode.toString(8), uid, gid, description },
        vars: isRecord(options.vars) ? options.vars : {},
        env: Object.fromEntries(textsOption(options, "env").map((key) => [key, environment[key] ?? ""])),
        tree: () => work.without(() => context.outline()),
      };
      try {
        const templates = await liquid.parseFile(name);
        const rendering = new Context(variables, liquid.options);
        // Liquid's own limit counts the time that files take to be made, too.
        rendering.renderLimit.check = () => work.check(RENDER_MS);
        const rendered: unknown = await liquid.render(templates, rendering);
        return { content: String(rendered) };
      } catch (error) {
        throw explained(error);
      }
    },
    async list(_path, { options }) {
      const folder = resolve(base, neededText(options, "folder", '"./templates"'));
      refuseInMount(folder);
      const files = await readdir(folder, { withFileTypes: true, recursive: true });
      return files
        .filter((entry) => entry.isFile())
        .map((entry): ListedEntry => {
          const file = join(entry.parentPath, entry.name).slice(folder.length + 1);
          return { path: file.endsWith(ENDING) ? file.slice(0, -ENDING.length) : file };
        });
    },
  };
}

/** How long something has been at work. */
class WorkTime {
  readonly #begun = performance.now();
  #waited = 0;

  /** Waits; that is no work. */
  async without<T>(waiting: () => Promise<T>): Promise<T> {
    const since = performance.now();
    try {
      return await waiting();
    } finally {
      this.#waited += performance.now() - since;
    }
  }

  /** Throws Error for more than so many milliseconds. */
  check(ms: number): void {
    if (performance.now() - this.#begun - this.#waited > ms) throw new Error(`it renders for more than ${ms / 1000} s`);
  }
}

/** The template's name, for messages, and its text. */
async function source(path: string, { options, match }: GeneratorContext, base: string): Promise<[string, string]> {
  const text = textOption(options, "text");
  if (text !== undefined) return [`${path}${ENDING}`, text];
  for (const file of candidates(path, options, match, base)) {
    refuseInMount(file);
    const found = Bun.file(file);
    if (await found.exists()) return [file, await found.text()];
  }
  throw new FsError("ENOENT", `${path}: there is no template ${candidates(path, options, match, base)[0]}`);
}

function refuseInMount(file: string): void {
  refusePathInMount("template", file, "a template can include files of the tree instead");
}

function candidates(path: string, options: Options, match: string | undefined, base: string): readonly string[] {
  const folder = textOption(options, "folder");
  if (folder === undefined) return [resolve(base, neededText(options, "template", '"./report.md.liquid"'))];
  const root = match === undefined ? "/" : pattern(match).root;
  const below = normalize(path.slice(root.length));
  if (below.split("/").includes("..")) return [];
  const file = join(resolve(base, folder), below);
  return [`${file}${ENDING}`, file];
}

/** Liquid's messages end in file, line and column; an errno that a file in the tree gave is kept. */
function explained(error: unknown): Error {
  const original = isRecord(error) && error.originalError instanceof Error ? error.originalError : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const inner = error instanceof FsError ? error : original instanceof FsError ? original : undefined;
  return inner === undefined
    ? new FsError("EIO", message, { cause: error })
    : new FsError(inner.code, message, { cause: error });
}
