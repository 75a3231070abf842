/** Methods of the filesystem thread that are about files, as functions. */
import type { Methods } from "../rpc/messages.ts";

const NAMES = [
  "version",
  "generated",
  "requestsFor",
  "setMetadata",
  "listAll",
  "writeFile",
  "regenerate",
] as const satisfies readonly (keyof Methods)[];

type FileMethodName = (typeof NAMES)[number];

export type FileMethods = Pick<Methods, FileMethodName>;

type Call = <K extends keyof Methods>(
  method: K,
  ...args: Parameters<Methods[K]>
) => Promise<Awaited<ReturnType<Methods[K]>>>;

export function createFileMethods(call: Call): FileMethods {
  // Each name is given the function that calls this method.
  return Object.fromEntries(
    NAMES.map((name) => [name, (...args: Parameters<Methods[FileMethodName]>) => call(name, ...args)]),
  ) as FileMethods;
}
