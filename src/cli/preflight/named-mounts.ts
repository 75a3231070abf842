/** Checks that the mounts on the command line answer, before a command touches a file in them. */
import type { ArgDef, ArgsDef } from "citty";
import { UserError } from "../../app/errors.ts";
import { createUnresponsiveError, isAnswering, requireAnswer } from "../../app/running/answering.ts";
import { type FoundMount, findMount } from "../../app/running/find-mount.ts";

/** A longer text is not a path: PATH_MAX. */
const LONGEST_PATH = 4096;

/**
 * Rejects with UserError("unresponsive") if a value is a path in a mount that does not answer: a system call there would
 * block, and could not always be ended. `exempt`: arguments for which the command itself checks this.
 */
export async function requireAnswers(
  args: ArgsDef,
  values: ReadonlyMap<string, unknown>,
  more: readonly string[],
  exempt: readonly string[],
): Promise<void> {
  const named = [...values].flatMap(([name, value]) => {
    const arg = exempt.includes(name) ? undefined : args[name];
    return arg !== undefined && takesPath(arg) ? [{ value, text: takesText(arg) }] : [];
  });
  const given = [...named, ...more.map((value) => ({ value, text: false }))];
  for (const { value, text } of given) {
    if (typeof value !== "string" || value.length > LONGEST_PATH) continue;
    const mount = findMountIfPossible(value.replace(/^@/, ""))?.mount;
    if (mount === undefined) continue;
    if (!text) await requireAnswer(mount);
    // The value may be text and not a path. So only a mount that would block is an error, not one whose process has ended.
    else if ((await isAnswering(mount)) === "no") throw createUnresponsiveError(mount);
  }
}

function takesText(arg: ArgDef): boolean {
  return "valueHint" in arg && /TEXT/.test(arg.valueHint ?? "");
}

function takesPath(arg: ArgDef): boolean {
  return arg.type === "positional" || ("valueHint" in arg && /FILE|DIR/.test(arg.valueHint ?? ""));
}

/** Undefined also if the command must report that there is no current directory. */
function findMountIfPossible(path: string): FoundMount | undefined {
  try {
    return findMount(path);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
