/** Methods of the filesystem thread that are about files, as functions. */
import type { Methods } from "../rpc/messages.ts";
import { unpackList } from "../rpc/packed-list.ts";

export interface FileMethods
  extends Pick<
    Methods,
    "version" | "requestsFor" | "setMetadata" | "listAll" | "writeFile" | "regenerate" | "noteSave"
  > {
  /** The paths of all files with generated content. */
  generated(): Promise<readonly string[]>;
}

type Call = <K extends keyof Methods>(
  method: K,
  ...args: Parameters<Methods[K]>
) => Promise<Awaited<ReturnType<Methods[K]>>>;

export function createFileMethods(call: Call): FileMethods {
  return {
    version: () => call("version"),
    generated: async () => unpackList(await call("generated")),
    requestsFor: (paths) => call("requestsFor", paths),
    setMetadata: (files) => call("setMetadata", files),
    listAll: () => call("listAll"),
    writeFile: (path, content, writer) => call("writeFile", path, content, writer),
    regenerate: (path, options) => call("regenerate", path, options),
    noteSave: (event) => call("noteSave", event),
  };
}
