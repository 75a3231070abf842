/** Serves a tree to one client over standard input and output, until the client closes its end and has its answers. */
import { Readable, Writable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { messageOf } from "../../errno.ts";
import { isOutputUnread, say, showExactly } from "../output/terminal.ts";
import { VERSION } from "../version.ts";
import type { TreeSession } from "./session.ts";
import { registerTools, type ToolOptions } from "./tools.ts";
import { CountedTransport, UnansweredRequests } from "./unanswered.ts";

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
  const unanswered = new UnansweredRequests();
  // The transport drops what is under way when its input ends.
  const input = Readable.from(untilAnswered(process.stdin, unanswered), { objectMode: false });
  input.once("end", leave);
  input.once("close", leave);
  const create = () => {
    const server = new McpServer(
      { name: "llmfs", version: VERSION },
      { instructions: instructionsFor(session, options) },
    );
    registerTools(server, session, options);
    return server;
  };
  const handle = serveStdio(create, {
    transport: new CountedTransport(unanswered, input, output, { maxBufferSize: LONGEST_MESSAGE }),
    onerror: (error) => say(`llmfs mcp: ${messageOf(error)}`),
  });
  signal.addEventListener("abort", () => leave());
  await left;
  await handle.close();
}

/** What the client sends. Ends when the client has closed its end and all its requests are answered. */
async function* untilAnswered(input: AsyncIterable<Uint8Array>, unanswered: UnansweredRequests) {
  yield* input;
  // The last chunk has been asked for more before it has been read.
  await setImmediate();
  await unanswered.answered(isOutputUnread);
}

function instructionsFor({ name }: TreeSession, { readOnly }: ToolOptions): string {
  return [
    `The tools work on the tree of ${name}, whose files may not have content yet: a pending file gets its content when it is`,
    "first read, which asks a model and may cost money. list and plan show what is pending and cost nothing.",
    ...(readOnly ? ["The tree cannot be changed."] : []),
  ].join(" ");
}
