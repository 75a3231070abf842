/** How a mount treats the programs that use it, from flags. */
import { messageOf } from "../../errno.ts";
import type { PolicyRule, ProgramSettings } from "../../rpc/programs.ts";
import { piecesOf } from "../../text/path-pattern.ts";
import { createValueError } from "../errors.ts";
import { DENIED_PROGRAMS, STAT_GENERATES } from "./default-programs.ts";
import type { GivenSettings } from "./given.ts";

/** Throws UsageError. */
export function readProgramSettings(given: GivenSettings): ProgramSettings {
  const allowed = given.parse("allowProgram", parsePrograms) ?? [];
  const denied = given.parse("denyProgram", parsePrograms) ?? [];
  const always = denied.includes("none") ? [] : DENIED_PROGRAMS;
  const own = denied.filter((name) => name !== "none");
  return {
    statGenerates: given.parse("statGenerates", parsePrograms) ?? parsePrograms("", STAT_GENERATES),
    policy: [
      ...(given.parse("policy", parsePolicy) ?? []),
      ...(allowed.length === 0 ? [] : [{ allows: true, programs: allowed, origin: "--allow-program" }]),
      ...(own.length === 0 ? [] : [{ allows: false, programs: own, origin: "--deny-program" }]),
      ...(always.length === 0 ? [] : [{ allows: false, programs: always, origin: BY_DEFAULT }]),
    ],
  };
}

const BY_DEFAULT = "it reads files unasked; --allow-program allows it";

/** Parses `deny program=rg,grep path=vendor/** user=backup; allow`. */
function parsePolicy(flag: string, text: string): readonly PolicyRule[] {
  const written = text.split(/[;\n]/).map((rule) => rule.trim());
  return written.filter((rule) => rule !== "").map((rule) => parseRule(flag, rule));
}

const KINDS = { program: "programs", user: "users", path: "paths" } as const;

function parseRule(flag: string, text: string): PolicyRule {
  const [verb, ...conditions] = text.split(/\s+/);
  const wrong = (what: string) => createValueError(flag, `${flag}: ${text}: ${what}`);
  if (verb !== "allow" && verb !== "deny") throw wrong('a rule begins with "allow" or "deny"');
  const rule: Record<"programs" | "users" | "paths", string[] | undefined> = {
    programs: undefined,
    users: undefined,
    paths: undefined,
  };
  for (const condition of conditions) {
    const [, key = "", value = ""] = /^(\w+)=(.+)$/.exec(condition) ?? [];
    if (key !== "program" && key !== "user" && key !== "path") {
      throw wrong(`expected program=NAMES, user=NAMES or path=GLOBS instead of ${condition}`);
    }
    const values = value.split(",").filter((one) => one !== "");
    rule[KINDS[key]] = [...(rule[KINDS[key]] ?? []), ...values];
  }
  for (const path of rule.paths ?? []) {
    try {
      piecesOf(path);
    } catch (error) {
      throw wrong(messageOf(error));
    }
  }
  const { programs, users, paths } = rule;
  return {
    allows: verb === "allow",
    ...(programs && { programs }),
    ...(users && { users }),
    ...(paths && { paths }),
    origin: `the policy says "${text}"`,
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
