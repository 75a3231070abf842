/** How a mount treats the programs that use it, from flags. */
import type { ProgramSettings } from "../../rpc/programs.ts";
import { createValueError } from "../errors.ts";
import { STAT_GENERATES } from "./default-programs.ts";
import type { GivenSettings } from "./given.ts";

/** Throws UsageError. */
export function readProgramSettings(given: GivenSettings): ProgramSettings {
  return {
    statGenerates: given.parse("statGenerates", parsePrograms) ?? parsePrograms("", STAT_GENERATES),
  };
}

/** Parses `git,busybox tar`. An empty text is an empty list. */
function parsePrograms(flag: string, text: string): readonly string[] {
  const entries = text.split(",").map((entry) => entry.trim().replace(/\s+/g, " "));
  const programs = entries.filter((entry) => entry !== "");
  for (const entry of programs) {
    if (/\//.test(entry) || entry.split(" ").length > 2) {
      throw createValueError(
        flag,
        `${flag} ${entry}: expected the name of a program, or of a program and its command, such as git or "busybox tar"`,
      );
    }
  }
  return programs;
}
