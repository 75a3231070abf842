/** What the evaluation asks a model for: a prompt, and a check that the result must pass. */
import { existsSync } from "node:fs";
import { join } from "node:path";

export interface EvalCase {
  readonly name: string;
  /** The file with the prompt. */
  readonly prompt: string;
  /** A shell script that runs in the tree; status 0 means that it is right. */
  readonly check: string;
  /** Code that exists, which the prompt adds to. Absent: the prompt lays out the whole tree. */
  readonly existing?: string;
  /** Programs that the check uses. */
  readonly needs: readonly string[];
}

const NEEDS: Readonly<Record<string, readonly string[]>> = {
  "c-tool": ["cc", "make"],
  "python-library": ["python3"],
  "typescript-service": ["bun"],
  "data-set": ["python3"],
  documentation: ["python3"],
  tests: ["python3"],
};

export const CASES: readonly EvalCase[] = Object.entries(NEEDS).map(([name, needs]) => {
  const folder = join(import.meta.dir, "cases", name);
  const existing = join(folder, "tree");
  return {
    name,
    prompt: join(folder, "prompt.md"),
    check: join(folder, "check.sh"),
    needs,
    ...(existsSync(existing) && { existing }),
  };
});
