/**
 * The same program on two filesystems: where they differ first, and the shortest program that shows it.
 *
 * The answers are compared, and after nearly every step the whole trees: types, modes, owners, sizes, blocks, link counts,
 * which names are one inode, contents, attributes, and of each time in which step it was taken, or what it was set to.
 */
import type { Ground } from "./ground.ts";
import type { Step } from "./random.ts";

export interface Difference {
  /** The step that showed it: an index into the program. */
  readonly at: number;
  readonly step: string;
  /** What the first ground said, and the second: the parts that differ. */
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
  // A random path may well be "../..": neither the machine's files nor other programs' rooms are there.
  const lines = ["tick", `mkdir ${room} 0755`, `chdir ${room}`, "chroot .", "tree ."];
  /** Of each line, the step that it is of. */
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

/** Of two dumps of a tree, the entries that are not in both. */
function differing(a: string, b: string): [string, string] {
  if (!a.includes(";")) return [a, b];
  const [left, right] = [a.split(";"), b.split(";")];
  return [
    left.filter((entry) => !right.includes(entry)).join("; "),
    right.filter((entry) => !left.includes(entry)).join("; "),
  ];
}

/** The shortest part of a program found that still shows a difference (delta debugging). */
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
