/** Serves a tree to one client over standard input and output, until the client closes its end. */
import { Writable } from "node:stream";
import { McpServer } from "@modelcontextprotocol/server";
import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";
import { messageOf } from "../../errno.ts";
import { say, showExactly } from "../output/terminal.ts";
import { VERSION } from "../version.ts";
import type { TreeSession } from "./session.ts";
import { registerTools, type ToolOptions } from "./tools.ts";

/** A client may send the content of a file in one message. */
const LONGEST_MESSAGE = 64 << 20;

/** Resolves when the client has left, or the signal is aborted. */
export async function serveTools(session: TreeSession, options: ToolOptions, signal: AbortSignal): Promise<void> {
  const output = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      try {
        showExactly(chunk);
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
  const { promise: left, resolve: leave } = Promise.withResolvers<void>();
  process.stdin.once("end", leave);
  process.stdin.once("close", leave);
  const create = () => {
    const server = new McpServer(
      { name: "llmfs", version: VERSION },
      { instructions: instructionsFor(session, options) },
    );
    registerTools(server, session, options);
    return server;
  };
  const handle = serveStdio(create, {
    transport: new StdioServerTransport(process.stdin, output, { maxBufferSize: LONGEST_MESSAGE }),
    onerror: (error) => say(`llmfs mcp: ${messageOf(error)}`),
  });
  signal.addEventListener("abort", () => leave());
  await left;
  await handle.close();
}

function instructionsFor({ name }: TreeSession, { readOnly }: ToolOptions): string {
  return [
    `The tools work on the tree of ${name}, whose files may not have content yet: a pending file gets its content when it is`,
    "first read, which asks a model and may cost money. list and plan show what is pending and cost nothing.",
    ...(readOnly ? ["The tree cannot be changed."] : []),
  ].join(" ");
}
