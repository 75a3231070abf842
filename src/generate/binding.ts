/** Chooses the generator of a file, and the rule for it. */
import { DEFAULT_GENERATOR, ORIGIN } from "../attributes.ts";
import { FsError } from "../errno.ts";
import type { Binding, Rules } from "../generators/config/rules.ts";
import type { GenerationRequest } from "../rpc/generation.ts";

/** The path that the file was created for. Its parameters stay the same when the file is moved. */
export function originOf({ file, path }: Pick<GenerationRequest, "file" | "path">): string {
  return file.xattrs.get(ORIGIN) ?? path;
}

/**
 * A rule runs with the rights of the user who mounted. Therefore rules do not apply to files of other users, wherever they
 * are, unless a rule created the file. Throws FsError EPERM.
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
    throw new FsError("EPERM", `cannot use the generator "${generator}": ${whose}`, { path });
  }
  return { generator, options: {}, params: {} };
}
