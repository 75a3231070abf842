/** Checks that the mounts on the command line answer, before a command touches a file in them. */
import type { ArgDef, ArgsDef } from "citty";
import { UserError } from "../../app/errors.ts";
import { requireAnswer } from "../../app/running/answering.ts";
import { type Found, findMount } from "../../app/running/find-mount.ts";

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
  const named = Object.entries(args).filter(([name, arg]) => takesPath(arg) && !exempt.includes(name));
  const paths = [...named.map(([name]) => values.get(name)), ...more].filter((value) => typeof value === "string");
  const found = new Map<string, Found>();
  for (const path of paths) {
    const place = path.length > LONGEST_PATH ? undefined : findMountIfPossible(path.replace(/^@/, ""));
    if (place !== undefined) found.set(place.mount.device, place);
  }
  for (const { mount } of found.values()) await requireAnswer(mount);
}

function takesPath(arg: ArgDef): boolean {
  return arg.type === "positional" || ("valueHint" in arg && /FILE|DIR/.test(arg.valueHint ?? ""));
}

/** Undefined also if the command must report that there is no current directory. */
function findMountIfPossible(path: string): Found | undefined {
  try {
    return findMount(path);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
