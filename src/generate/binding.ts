/** Which generator makes a file, with which rule. */
import { DEFAULT_GENERATOR, ORIGIN } from "../attributes.ts";
import { FsError } from "../errno.ts";
import type { Binding, Rules } from "../generators/config/rules.ts";
import type { GenerationRequest } from "../rpc/generation.ts";

/** The path it was made for: what its parts mean stays, wherever the file is moved. */
export function originOf({ file, path }: Pick<GenerationRequest, "file" | "path">): string {
  return file.xattrs.get(ORIGIN) ?? path;
}

/**
 * A rule works with the rights of the user who mounted. A file of another user is no business of any rule, wherever the
 * user puts it, unless llmfs made the file because of one. Throws FsError EPERM.
 */
export function bindingOf(
  rules: Pick<Rules, "bind"> | undefined,
  request: Pick<GenerationRequest, "file" | "path" | "generator" | "viewer">,
): Binding {
  const { file, path, generator, viewer } = request;
  const foreign = viewer !== undefined && !file.xattrs.has(ORIGIN);
  if (rules !== undefined && !foreign) return rules.bind(originOf(request), generator);
  if (foreign && generator !== DEFAULT_GENERATOR) {
    const whose = `it belongs to user ${viewer}; only files of the user who mounted may choose their generator`;
    throw new FsError("EPERM", `generator "${generator}" does not make it: ${whose}`, { path });
  }
  return { generator, options: {}, params: {} };
}
