/**
 * Which programs may have files generated.
 *
 * Programs are recognized by what /proc shows of them and of the programs that started them, and any program can choose
 * its name. So this keeps indexers and the like from running up a bill; it does not keep an attacker out.
 */
import { FsError } from "../../errno.ts";
import type { Program } from "../../procfs.ts";
import type { PolicyRule } from "../../rpc/programs.ts";
import { PathPattern, piecesOf } from "../../text/path-pattern.ts";
import type { KnownPrograms } from "./callers.ts";
import type { Users } from "./users.ts";

/** The maximum number of ancestors that are looked at. */
const MOST_PARENTS = 8;
const NAME_BYTES = 15;

interface CompiledRule {
  readonly rule: PolicyRule;
  readonly programs: readonly RegExp[] | undefined;
  readonly paths: readonly PathPattern[] | undefined;
}

export class Policy {
  readonly #rules: readonly CompiledRule[];
  readonly #users: Users;
  readonly #known: KnownPrograms;
  /** For each program, which rules name it: generation asks once a file, and a pattern takes longer than a lookup. */
  readonly #naming = new WeakMap<Program, readonly boolean[]>();

  constructor(rules: readonly PolicyRule[], users: Users, known: KnownPrograms) {
    this.#users = users;
    this.#known = known;
    this.#rules = rules.map((rule) => ({
      rule,
      programs: rule.programs?.map(namePattern),
      paths: rule.paths?.map((path) => new PathPattern(piecesOf(path))),
    }));
  }

  /** Why this thread may not have a path generated; undefined if it may. `path`: as text, from the root. */
  refusal(path: string, thread: number): FsError | undefined {
    if (this.#rules.length === 0) return undefined;
    const chain = this.#chainOf(thread);
    for (const [index, { rule, programs, paths }] of this.#rules.entries()) {
      const program = programs && chain.find((one) => this.#rulesNaming(one)[index]);
      if (programs !== undefined && program === undefined) continue;
      if (rule.users !== undefined && !this.#isOneOf(chain[0]?.uid, rule.users)) continue;
      if (paths !== undefined && !paths.some((pattern) => pattern.matches(path))) continue;
      if (rule.allows) return undefined;
      const [caller] = chain;
      const name = caller === undefined ? "an unknown program" : `${caller.name} (${caller.pid})`;
      const through = program === undefined || program === caller ? "" : `, which ${program.name} started,`;
      return new FsError("EACCES", `${name}${through} may not have this file generated: ${rule.origin}`);
    }
    return undefined;
  }

  #rulesNaming(program: Program): readonly boolean[] {
    const known = this.#naming.get(program);
    if (known !== undefined) return known;
    const found = this.#rules.map(({ programs = [] }) => programs.some((name) => matches(program, name)));
    this.#naming.set(program, found);
    return found;
  }

  #isOneOf(uid: number | undefined, users: readonly string[]): boolean {
    if (uid === undefined) return false;
    const name = this.#users.nameOf(uid);
    return users.includes(String(uid)) || (name !== undefined && users.includes(name));
  }

  /** A thread's program and those that started it. */
  #chainOf(thread: number): readonly Program[] {
    const chain: Program[] = [];
    for (let at = thread; at > 1 && chain.length < MOST_PARENTS; ) {
      const program = at === thread ? this.#known.get(at) : this.#known.getAncestor(at);
      if (program === undefined) break;
      chain.push(program);
      at = program.parent;
    }
    return chain;
  }
}

/** A pattern for a name of any length and for one that the kernel has cut. */
function namePattern(written: string): RegExp {
  const text = written.replace(/[.*+?^${}()|[\]\\]/g, (special) => (special === "*" ? ".*" : `\\${special}`));
  const cut = written.length > NAME_BYTES && !written.slice(0, NAME_BYTES).includes("*");
  const start = cut ? `|${written.slice(0, NAME_BYTES).replace(/[.+?^${}()|[\]\\]/g, "\\$&")}` : "";
  return new RegExp(`^(?:${text}${start})$`, "s");
}

function matches({ name, file, args }: Program, pattern: RegExp): boolean {
  if (pattern.test(name) || (file !== undefined && pattern.test(file))) return true;
  // A script is named after its interpreter if that was called by hand: python3 /usr/bin/duplicity.
  return /^(?:python|perl|ruby|node)/.test(file ?? name) && pattern.test(baseName(args.find(isPath) ?? ""));
}

function isPath(arg: string, index: number): boolean {
  return index > 0 && !arg.startsWith("-");
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
