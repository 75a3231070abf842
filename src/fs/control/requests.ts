/** Requests of `.llmfs/control`: from lines of JSON to values that are checked. */
import { attribute, checkSetting } from "../../attributes.ts";
import { FsError, messageOf } from "../../errno.ts";
import type { FailedCheck } from "../../rpc/control-protocol.ts";
import type { Adder, NewEntry } from "../../rpc/growth.ts";
import type { MountCommand } from "../../rpc/messages.ts";
import type { Wish } from "../lazy/regenerate.ts";

type Member =
  | "id"
  | "op"
  | "path"
  | "prompt"
  | "force"
  | "dry"
  | "description"
  | "generator"
  | "depends"
  | "instruction"
  | "failure"
  | "version";

/** Nothing is known of the members. */
export type ControlRequest = Readonly<Record<Member, unknown>>;

/** Throws EINVAL. */
export function parseRequest(text: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FsError("EINVAL", `a request must be a line of JSON: ${messageOf(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FsError("EINVAL", "a request must be a JSON object");
  }
  // Any member may be absent, and none of these names is inherited.
  return value as ControlRequest;
}

export function requirePath(path: unknown): string {
  if (typeof path === "string" && path.startsWith("/")) return path;
  throw new FsError("EINVAL", `"path" must be a path that begins with "/"`);
}

/** What `regen` and `rewrite` ask for. Throws EINVAL. */
export function readWish(request: ControlRequest): Wish {
  if (request.op === "update") return { prompt: undefined, force: false, recorded: true };
  if (request.op !== "rewrite") return { prompt: textOf(request, "prompt"), force: request.force === true };
  const instruction = textOf(request, "instruction")?.trim() ?? "";
  if (instruction === "") throw new FsError("EINVAL", '"instruction" must say what to change');
  return { prompt: undefined, force: false, instruction };
}

/** Undefined for the requests that this thread handles. Throws EINVAL. */
export function readCommand({ op, failure, version }: ControlRequest): MountCommand | undefined {
  if (op === "save" || op === "allow") return { op };
  if (op === "freeze") {
    if (typeof version !== "number") throw new FsError("EINVAL", '"version" must be a number');
    return { op, version };
  }
  return op === "diagnose" ? { op, failure: readFailure(failure) } : undefined;
}

function readFailure(value: unknown): FailedCheck {
  if (typeof value !== "object" || value === null) throw new FsError("EINVAL", '"failure" must be an object');
  // An object may have any members.
  const { command, ending, output, earlier = [] } = value as Partial<Record<keyof FailedCheck, unknown>>;
  const texts = [command, ending, output];
  if (!areTexts(texts) || !Array.isArray(earlier) || !areTexts(earlier)) {
    throw new FsError("EINVAL", '"failure" must have the texts "command", "ending" and "output"');
  }
  const [first = "", second = "", third = ""] = texts;
  return { command: first, ending: second, output: third, earlier };
}

function areTexts(values: readonly unknown[]): values is readonly string[] {
  return values.every((value) => typeof value === "string");
}

/** The values are checked as those of the attributes that they become. */
export function readNewFile(request: ControlRequest): NewEntry {
  const path = requirePath(request.path);
  const settings = Object.fromEntries(
    (["prompt", "description", "generator", "depends"] as const).flatMap((name) => {
      const text = textOf(request, name);
      if (text === undefined || text === "") return [];
      checkSetting(attribute(name), Buffer.from(text));
      return [[name, text]];
    }),
  );
  const { depends, ...rest } = settings;
  if (rest.generator === "static")
    throw new FsError("EINVAL", "a static file is not generated; create an empty file instead", { path });
  return { type: "file", path, ...rest, ...(depends !== undefined && { uses: depends.split("\n") }) };
}

/** Throws EINVAL. */
export function readGrowth(request: ControlRequest, adder: Adder): Extract<MountCommand, { readonly op: "grow" }> {
  const prompt = textOf(request, "prompt") ?? "";
  if (prompt.trim() === "") throw new FsError("EINVAL", '"prompt" must say what to add');
  const { uid, gid, pid } = adder;
  return { op: "grow", path: requirePath(request.path), prompt, dry: request.dry === true, adder: { uid, gid, pid } };
}

function textOf(request: ControlRequest, name: Member): string | undefined {
  const text = request[name];
  if (text === undefined || typeof text === "string") return text;
  throw new FsError("EINVAL", `"${name}" must be a string`);
}
