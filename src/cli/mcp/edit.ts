/** Replacing text in a file. */
import { FsError } from "../../errno.ts";

export interface Edit {
  readonly old: string;
  readonly new: string;
  /** Replace every occurrence. Otherwise there must be exactly one. */
  readonly all: boolean;
}

/** Throws FsError EINVAL if the old text is not there, or not only once. */
export function editText(text: string, edit: Edit, path: string): { readonly text: string; readonly count: number } {
  const parts = text.split(edit.old);
  const count = parts.length - 1;
  if (count === 0) throw new FsError("EINVAL", "the old text does not occur in the file; read it again", { path });
  if (count > 1 && !edit.all) {
    throw new FsError("EINVAL", `the old text occurs ${count} times; add what is around it, or set all: true`, {
      path,
    });
  }
  return { text: parts.join(edit.new), count };
}
