/** Chooses the generator of a file, and the rule for it. */
import { attribute, DEFAULT_GENERATOR, DEPENDS, DESCRIPTION, ORIGIN, OURS } from "../attributes.ts";
import { FsError } from "../errno.ts";
import { encodeName } from "../generators/config/patterns.ts";
import type { Binding, Rules } from "../generators/config/rules.ts";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import { folderOf } from "../text/tree-paths.ts";
import type { Dependent } from "./depends.ts";
import { namedFiles } from "./named-files.ts";

/** The path that the file was created for. Its parameters stay the same when the file is moved. */
export function originOf({ file, path }: Pick<GenerationRequest, "file" | "path">): string {
  return file.xattrs.get(ORIGIN) ?? path;
}

/**
 * A rule runs with the rights of the user who mounted. Therefore rules do not apply to files of other users, wherever they
 * are, unless a rule created the file. Throws FsError EPERM.
 */
function bindingOf(
  rules: Pick<Rules, "bind"> | undefined,
  request: Pick<GenerationRequest, "file" | "path" | "generator" | "viewer">,
): Binding {
  const { file, path, generator, viewer } = request;
  const foreign = viewer !== undefined && !file.xattrs.has(ORIGIN);
  if (rules !== undefined && !foreign) return rules.bind(originOf(request), generator);
  if (foreign && generator !== DEFAULT_GENERATOR) {
    const whose = `it belongs to user ${viewer}; only files of the user who mounted may choose their generator`;
    throw new FsError("EPERM", `cannot use the generator "${generator}": ${whose}`, { path });
  }
  return { generator, options: {}, params: {} };
}

/** What chooses the generator of a file, and what it adds to the request for a model. */
export interface BindingOptions {
  readonly rules?: Pick<Rules, "bind" | "makes"> | undefined;
  /** An instruction for the content of every file, before all other prompts. */
  readonly contentPrompt?: string | undefined;
  /** False: each file is written without the text of others. Default: true. */
  readonly depends?: boolean;
}

/** The request as the generator gets it, and the generator. */
export interface BoundRequest {
  readonly request: GenerationRequest;
  readonly binding: Binding;
}

/** Requests for other generators than the model stay as they are. Throws FsError EPERM. */
export function bindRequest(
  request: GenerationRequest,
  { rules, contentPrompt, depends = true }: BindingOptions,
): BoundRequest {
  const binding = bindingOf(rules, request);
  if (binding.generator !== DEFAULT_GENERATOR) return { request, binding };
  const ruled = rules === undefined ? request : applyRule(request, binding, rules);
  const asked = depends ? ruled : withoutDependencies(ruled);
  const prompts = contentPrompt === undefined ? asked.prompts : [contentPrompt, ...asked.prompts];
  return { request: { ...asked, prompts }, binding };
}

/** Adds the options of a rule for the model. */
function applyRule(request: GenerationRequest, binding: Binding, rules: Pick<Rules, "makes">): GenerationRequest {
  const { options } = binding;
  const { file, path } = request;
  const xattrs = new Map(file.xattrs);
  const rulePrompt = typeof options.prompt === "string" ? options.prompt : undefined;
  // An attribute of the file itself is more specific than a rule, and those of its directories are less so.
  for (const name of ["temperature", "max-tokens"] as const) {
    const value = options[name];
    if (value !== undefined && !xattrs.has(attribute(name))) xattrs.set(attribute(name), String(value));
  }
  const description = file.description ?? (typeof options.description === "string" ? options.description : undefined);
  if (description !== undefined) xattrs.set(DESCRIPTION, description);
  const depends = [xattrs.get(DEPENDS) ?? "", ...dependenciesOfRule(rules, binding, path)].filter((one) => one !== "");
  if (depends.length > 0) xattrs.set(DEPENDS, depends.join("\n"));
  return {
    ...request,
    ...(typeof options.model === "string" && { model: options.model }),
    ...(rulePrompt !== undefined && { prompts: [...request.prompts, rulePrompt], rulePrompt }),
    file: { ...file, xattrs, ...(description !== undefined && { description }) },
  };
}

/**
 * What a rule for the model says that its files depend on: its option, and the files of other rules that its prompt names. Those
 * exist only when somebody looks for them, so they cannot be found in the tree.
 */
function dependenciesOfRule(
  rules: Pick<Rules, "makes">,
  { options, params }: Pick<Binding, "options" | "params">,
  path: string,
): readonly string[] {
  const { prompt, depends } = options;
  const declared = typeof depends === "string" ? [depends] : Array.isArray(depends) ? depends.map(String) : [];
  const filled = declared.map((one) =>
    one.replace(/\{(\w+)\}/g, (part, name: string) =>
      Object.hasOwn(params, name) ? encodeName(params[name] ?? "") : part,
    ),
  );
  const named = typeof prompt === "string" ? namedFiles([prompt], path, (other) => rules.makes(other)) : [];
  return [...filled, ...named];
}

/** A file without content. */
export interface BoundFile extends Dependent {
  /** The generator that the file names, or the default. */
  readonly generator: string;
}

/**
 * Returns the files with their dependencies: their own, and those that the rules add if these are among the files. If
 * `depends` is false, the files have no dependencies.
 */
export function orderFiles<T extends BoundFile>(
  files: readonly T[],
  depends: boolean,
  rules: Pick<Rules, "bind" | "makes"> | undefined,
): readonly T[] {
  if (!depends) return files.map((file) => ({ ...file, depends: "" }));
  if (rules === undefined) return files;
  const paths = new Set(files.map(({ path }) => path));
  return files.map((file) => {
    const { path } = file;
    const binding = rules.bind(path, file.generator);
    if (binding.generator !== DEFAULT_GENERATOR) return file;
    const { prompt } = binding.options;
    const named = typeof prompt === "string" ? namedFiles([prompt], path, (other) => paths.has(other)) : [];
    const more = [...dependenciesOfRule(rules, binding, path), ...named];
    return more.length === 0 ? file : { ...file, depends: [file.depends ?? "", ...more].join("\n") };
  });
}

/** The request for a file without its dependencies and without the prompt of a rule. */
function withoutDependencies(request: GenerationRequest): GenerationRequest {
  const { rulePrompt: _, file, ...others } = request;
  return { ...others, file: { ...file, xattrs: new Map([...file.xattrs].filter(([name]) => name !== DEPENDS)) } };
}

/** `user.llmfs.<name>` of the file, or of the nearest directory above that has it. */
export async function settingOf(tree: TreePort, request: GenerationRequest, name: string): Promise<string | undefined> {
  if (name !== "prompt" && request.settings !== undefined) return settingIn(request, request.settings, name);
  const xattr = `${OURS}${name}`;
  const own = request.file.xattrs.get(xattr);
  if (own !== undefined) return own;
  for (let folder = request.path; folder !== "/"; ) {
    folder = folderOf(folder);
    // A directory that was renamed in the meantime has no settings here.
    const value = await tree.stat(folder).then(
      ({ xattrs }) => xattrs.get(xattr),
      () => undefined,
    );
    if (value !== undefined) return value;
  }
  return undefined;
}

/** The same at once, for any name but "prompt". `inherited`: the settings of the request. */
export function settingIn(
  { file }: Pick<GenerationRequest, "file">,
  inherited: NonNullable<GenerationRequest["settings"]>,
  name: string,
): string | undefined {
  return file.xattrs.get(`${OURS}${name}`) ?? inherited.get(`${OURS}${name}`);
}
