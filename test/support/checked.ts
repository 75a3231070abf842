/** A small C project with a mistake, and a server that repairs what it is told to repair. */
import { type Mounted, type MountedOptions, mounted, pathOf } from "./mounted.ts";
import type { Behaviour, ReceivedRequest } from "./openai-server.ts";
import { BINARY, type Finished } from "./program.ts";

/** Contents by path, as the model first writes them: `height` should be `tide_height`. */
export const PROJECT: Readonly<Record<string, string>> = {
  "/tides.h": "int tide_height(void);\n",
  "/tides.c": '#include "tides.h"\nint height(void) { return 7; }\n',
  "/main.c": '#include <stdio.h>\n#include "tides.h"\nint main(void) { printf("%d\\n", tide_height()); return 0; }\n',
  "/Makefile": "test: prog\n\t./prog | grep -q 7\nprog: main.c tides.c\n\tcc -o prog main.c tides.c\n",
};

export const FIXED = '#include "tides.h"\nint tide_height(void) { return 7; }\n';

/** What each kind of request is answered with. */
export interface Script {
  /** The first content of a file. */
  readonly content?: (path: string, request: ReceivedRequest) => string;
  /** The answer to a diagnosis: an object, or any text. */
  readonly diagnosis?: (request: ReceivedRequest, count: number) => object | string;
  /** The content that a file gets when it is written again. */
  readonly rewritten?: (path: string, request: ReceivedRequest) => string;
}

const DEFAULTS: Required<Script> = {
  content: (path) => PROJECT[path] ?? "",
  diagnosis: () => ({
    why: "tides.c defines height, and main.c calls tide_height",
    checkIsWrong: false,
    files: [{ path: "tides.c", instruction: "rename height to tide_height" }],
  }),
  rewritten: () => FIXED,
};

export type RequestKind = "content" | "diagnosis" | "rewriting";

export function kindOf({ body }: ReceivedRequest): RequestKind {
  if (body.response_format?.json_schema?.name === "diagnosis") return "diagnosis";
  const last: string = body.messages.at(-1).content;
  return last.startsWith("That content has to change:") ? "rewriting" : "content";
}

/** Answers like a model that remembers nothing: from the request alone, and the number of diagnoses so far. */
function answering(script: Script = {}): (request: ReceivedRequest) => Behaviour {
  const { content, diagnosis, rewritten } = { ...DEFAULTS, ...script };
  let diagnoses = 0;
  return (request) => {
    switch (kindOf(request)) {
      case "diagnosis": {
        const answer = diagnosis(request, ++diagnoses);
        return { stream: typeof answer === "string" ? answer : JSON.stringify(answer) };
      }
      case "rewriting": {
        const own = { ...request, body: { ...request.body, messages: request.body.messages.slice(0, -2) } };
        return { stream: rewritten(`/${pathOf(own)}`, request) };
      }
      case "content":
        return { stream: content(`/${pathOf(request)}`, request) };
    }
  };
}

/** The project, mounted, with recordings in `rec`. */
export async function mountedProject(script: Script = {}, options: MountedOptions = {}): Promise<Mounted> {
  const { args = [], ...others } = options;
  const mount = await mounted({
    pending: Object.keys(PROJECT).map((path) => path.slice(1)),
    ...others,
    args: ["--recordings", "rec", ...args],
  });
  mount.server.script(answering(script));
  return mount;
}

export function check(mount: Mounted, ...args: string[]): Promise<Finished> {
  const [flags, command] = args.includes("--")
    ? [args.slice(0, args.indexOf("--")), args.slice(args.indexOf("--") + 1)]
    : [args, ["make", "test"]];
  return mount.sandbox.llmfs(["check", mount.dir, ...flags, "--", ...command], { program: BINARY });
}
