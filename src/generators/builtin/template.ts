/**
 * Liquid templates as content.
 *
 * | option | |
 * |---|---|
 * | `template` | a file, relative to the configuration file |
 * | `text` | the text of the template |
 * | `folder` | a folder of templates, which appears in the tree unchanged; `a.md.liquid` becomes `a.md` |
 * | `vars` | any data, as the variable `vars` |
 * | `env` | names of environment variables, as the variable `env` |
 *
 * Variables: `path`, `params`, `file` (mode, description …), `prompts`, `vars`, `env`, `tree` (all entries). Includes are
 * files of the tree: `{% include "/header.liquid" %}`. `{{ "/views/top.csv" | read }}` is the text of a file, and the
 * filters `parse_json` and `parse_csv` (rows as objects) parse it. A pending file is generated first.
 */
import { readdir, stat } from "node:fs/promises";
import { join, normalize, resolve } from "node:path";
import { FsError, reasonOf } from "../../errno.ts";
import { readRegular } from "../../text/bounded-read.ts";
import { isRecord, type Options, readText, readTexts, refuseUnknownOptions, requireText } from "../config/options.ts";
import { parsePattern } from "../config/patterns.ts";
import type { GeneratorContext, ListedEntry } from "../contract.ts";
import { refusePathInMount } from "../host-path.ts";
import type { SourceGenerator, SourceParts } from "../source.ts";
import { answerQuestions } from "../user-generators.ts";
import { toFsError } from "../workers/failed.ts";
import type { Task } from "../workers/messages.ts";
import { SharedHelper } from "../workers/shared.ts";

const ENDING = ".liquid";
/** In bytes. */
const LONGEST_TEMPLATE = 16 * 1024 * 1024;

export function createTemplateGenerator(parts: SourceParts): SourceGenerator {
  const { base, environment } = parts;
  const helper = new SharedHelper(parts);
  return {
    lists: (options) => options.folder !== undefined,
    validate(options) {
      refuseUnknownOptions(options, ["template", "text", "folder", "vars", "env"]);
      const given = ["template", "text", "folder"].filter((name) => options[name] !== undefined);
      if (given.length !== 1) throw new Error('set one of the options "template", "text" and "folder"');
      requireText(options, given[0] ?? "", '"./report.md.liquid"');
      readTexts(options, "env");
    },
    async generate(path, context) {
      const { options, params, prompts, file } = context;
      const [name, text] = await readSource(path, context, base);
      const { mode, uid, gid, description } = file;
      const variables = {
        path,
        params,
        prompts,
        file: { mode: mode.toString(8), uid, gid, description },
        vars: isRecord(options.vars) ? options.vars : {},
        env: Object.fromEntries(readTexts(options, "env").map((key) => [key, environment[key] ?? ""])),
      };
      const task: Task = { task: "template", path, name, variables };
      const about = { ...answerQuestions(context), input: Buffer.from(text) };
      try {
        return { content: (await helper.run(task, "the template", about)).pieces };
      } catch (error) {
        context.signal.throwIfAborted();
        throw toFsError(error);
      }
    },
    async list(_path, { options }) {
      const folder = resolve(base, requireText(options, "folder", '"./templates"'));
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
async function readSource(path: string, { options, match }: GeneratorContext, base: string): Promise<[string, string]> {
  const text = readText(options, "text");
  if (text !== undefined) return [`${path}${ENDING}`, text];
  for (const file of listCandidates(path, options, match, base)) {
    refuseInMount(file);
    if ((await stat(file).catch(() => undefined))?.isDirectory() !== false) continue;
    const text = await readRegular(file, LONGEST_TEMPLATE).catch((cause: unknown) => {
      throw new FsError("EIO", `the template ${file} cannot be read: ${reasonOf(cause, file)}`, { cause });
    });
    return [file, text.toString("utf8")];
  }
  throw new FsError("ENOENT", `the template does not exist: ${listCandidates(path, options, match, base)[0]}`, {
    path,
  });
}

function refuseInMount(file: string): void {
  refusePathInMount("template", file, "a template can include files of the tree instead");
}

function listCandidates(path: string, options: Options, match: string | undefined, base: string): readonly string[] {
  const folder = readText(options, "folder");
  if (folder === undefined) return [resolve(base, requireText(options, "template", '"./report.md.liquid"'))];
  const root = match === undefined ? "/" : parsePattern(match).root;
  const below = normalize(path.slice(root.length));
  if (below.split("/").includes("..")) return [];
  const file = join(resolve(base, folder), below);
  return [`${file}${ENDING}`, file];
}
