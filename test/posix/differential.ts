/**
 * Runs the same program on two filesystems, and finds the first difference and the shortest program that shows it.
 *
 * The results of the calls are compared, and after nearly every step the whole trees: types, modes, owners, sizes,
 * blocks, link counts, which names are one inode, contents, attributes, and for each time the step in which it was
 * taken, or its value if it was set.
 */
import type { Ground } from "./ground.ts";
import type { Step } from "./random.ts";

export interface Difference {
  /** The step that showed it: an index into the program. */
  readonly at: number;
  readonly step: string;
  /** The results on the first ground and on the second: the parts that differ. */
  readonly first: string;
  readonly second: string;
}

let rooms = 0;

export async function compare(
  program: readonly Step[],
  first: Ground,
  second: Ground,
): Promise<Difference | undefined> {
  const room = `room${process.pid}-${rooms++}`;
  // A random path may be "../..": it must not lead to the machine's files or to other programs' directories.
  const lines = ["tick", `mkdir ${room} 0755`, `chdir ${room}`, "chroot .", "tree ."];
  /** For each line, its step. */
  const steps = lines.map(() => 0);
  let rushes = false;
  for (const [index, { line, setsAtime, look }] of program.entries()) {
    const last = index === program.length - 1;
    const looks = look === "tree" || last ? [setsAtime && !rushes ? "tree . atime" : "tree ."] : ["times ."];
    const some = [...(rushes ? [] : ["tick"]), line, ...(look === "none" && !last ? [] : ["settle", ...looks])];
    lines.push(...some);
    steps.push(...some.map(() => index));
    rushes = look === "none";
  }
  const [ours, theirs] = await Promise.all([first.run(lines), second.run(lines)]);
  for (let at = 0; at < lines.length; at++) {
    const [a = "nothing", b = "nothing"] = [ours[at], theirs[at]];
    if (a === b) continue;
    const step = steps[at] ?? 0;
    const [left, right] = differing(a, b);
    return { at: step, step: program[step]?.line ?? "", first: left, second: right };
  }
  return undefined;
}

/** The entries that are in only one of two dumps of a tree. */
function differing(a: string, b: string): [string, string] {
  if (!a.includes(";")) return [a, b];
  const [left, right] = [a.split(";"), b.split(";")];
  return [
    left.filter((entry) => !right.includes(entry)).join("; "),
    right.filter((entry) => !left.includes(entry)).join("; "),
  ];
}

/** The shortest part of a program that still shows a difference (delta debugging). */
export async function shrink(program: readonly Step[], first: Ground, second: Ground): Promise<readonly Step[]> {
  let best = program;
  for (let size = Math.ceil(best.length / 2); size >= 1; ) {
    let smaller = false;
    for (let from = 0; from < best.length; ) {
      const without = [...best.slice(0, from), ...best.slice(from + size)];
      const difference = await compare(without, first, second);
      if (difference === undefined) from += size;
      else {
        best = without.slice(0, difference.at + 1);
        smaller = true;
      }
    }
    if (size === 1 && !smaller) break;
    size = Math.max(1, Math.floor(size / 2));
    if (size === 1 && best.length <= 1) break;
  }
  return best;
}

export function report(program: readonly Step[], difference: Difference, first: Ground, second: Ground): string {
  return [
    ...program.map(({ line }) => line),
    `  ${first.name}: ${difference.first}`,
    `  ${second.name}: ${difference.second}`,
  ].join("\n");
}
