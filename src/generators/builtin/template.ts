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
import { readdir, stat } from "node:fs/promises";
import { join, normalize, resolve } from "node:path";
import { FsError, messageOf } from "../../errno.ts";
import { readRegular } from "../../text/bounded-read.ts";
import { isRecord, neededText, type Options, onlyOptions, textOption, textsOption } from "../config/options.ts";
import { pattern } from "../config/patterns.ts";
import type { GeneratorContext, ListedEntry } from "../contract.ts";
import { refusePathInMount } from "../host-path.ts";
import type { SourceGenerator, SourceParts } from "../source.ts";
import { questions } from "../user-generators.ts";
import { asFsError } from "../workers/failed.ts";
import type { Task } from "../workers/messages.ts";
import { SharedHelper } from "../workers/shared.ts";

const ENDING = ".liquid";
/** In bytes. */
const LONGEST_TEMPLATE = 16 * 1024 * 1024;

export function templateGenerator(parts: SourceParts): SourceGenerator {
  const { base, environment } = parts;
  const helper = new SharedHelper(parts);
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
      const { options, params, prompts, file } = context;
      const [name, text] = await source(path, context, base);
      const { mode, uid, gid, description } = file;
      const variables = {
        path,
        params,
        prompts,
        file: { mode: mode.toString(8), uid, gid, description },
        vars: isRecord(options.vars) ? options.vars : {},
        env: Object.fromEntries(textsOption(options, "env").map((key) => [key, environment[key] ?? ""])),
      };
      const task: Task = { task: "template", path, name, variables };
      const about = { ...questions(context), input: Buffer.from(text) };
      try {
        return { content: (await helper.run(task, "the template", about)).pieces };
      } catch (error) {
        context.signal.throwIfAborted();
        throw asFsError(error);
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
    dispose: () => helper[Symbol.asyncDispose](),
  };
}

/** The template's name, for messages, and its text. */
async function source(path: string, { options, match }: GeneratorContext, base: string): Promise<[string, string]> {
  const text = textOption(options, "text");
  if (text !== undefined) return [`${path}${ENDING}`, text];
  for (const file of candidates(path, options, match, base)) {
    refuseInMount(file);
    if ((await stat(file).catch(() => undefined))?.isDirectory() !== false) continue;
    const text = await readRegular(file, LONGEST_TEMPLATE).catch((cause: unknown) => {
      throw new FsError("EIO", `the template ${file} cannot be read: ${messageOf(cause)}`, { cause });
    });
    return [file, text.toString("utf8")];
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
