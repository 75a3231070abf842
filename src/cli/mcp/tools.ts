/** What a model can do with a tree: the tools of `llmfs mcp`. */
import type { CallToolResult, McpServer, ServerContext, ToolAnnotations } from "@modelcontextprotocol/server";
import { z } from "zod";
import { describeLeftOut } from "../../app/layout/growing.ts";
import { NO_PROGRESS } from "../../app/progress.ts";
import { FsError, messageOf } from "../../errno.ts";
import type { DetailedEntry } from "../../rpc/tree-port.ts";
import { printableLine } from "../../text/printable.ts";
import { formatPlan, planFiles, summarizeFile } from "../output/plan-report.ts";
import { failedRenewalOf, reportProvenance } from "../output/provenance-report.ts";
import { formatBytes } from "../output/quantity.ts";
import { editText } from "./edit.ts";
import { cutLines, decodeText } from "./read-text.ts";
import { searchFiles } from "./search.ts";
import { findInSession, normalizePath, type TreeSession } from "./session.ts";

/** Hints for clients, which may ask the user before they call a tool. */
const LOOKS: ToolAnnotations = { readOnlyHint: true, idempotentHint: true, openWorldHint: false };
const GENERATES: ToolAnnotations = { readOnlyHint: true, idempotentHint: true, openWorldHint: true };
const WRITES: ToolAnnotations = { readOnlyHint: false, destructiveHint: true, openWorldHint: false };
const CHANGES: ToolAnnotations = { readOnlyHint: false, destructiveHint: true, openWorldHint: true };

const path = z.string().describe("A path in the tree, such as src/main.c");
const directory = z.string().default("/").describe("A directory in the tree; default: its root");

/** The maximum number of entries or matches in one answer. */
const MOST_ENTRIES = 1000;
const MOST_MATCHES = 200;

export interface ToolOptions {
  /** Offers no tool that changes files. */
  readonly readOnly: boolean;
}

export function registerTools(server: McpServer, session: TreeSession, { readOnly }: ToolOptions): void {
  server.registerTool(
    "list",
    {
      title: "List files",
      description:
        "Lists a directory: every entry below it with its state, generator, size and description. Generates nothing. " +
        'A file in state "pending" has no content yet; reading it generates the content.',
      inputSchema: z.object({
        path: directory,
        recursive: z.boolean().default(true).describe("Also list what is in the directories below"),
      }),
      annotations: LOOKS,
    },
    (args) =>
      answer(async () => {
        const found = await findInSession(session, normalizePath(args.path));
        return formatListing(found.list(args.recursive));
      }),
  );
  server.registerTool(
    "read",
    {
      title: "Read a file",
      description:
        "Returns the content of a file, as text. A pending file is generated first, which may take a while and cost money. " +
        "The answer says which lines it has if the file is long.",
      inputSchema: z.object({
        path,
        offset: z.int().min(1).default(1).describe("The first line to return, from 1"),
        limit: z.int().min(1).default(2000).describe("The number of lines to return at most"),
      }),
      annotations: GENERATES,
    },
    (args, ctx) =>
      answer(async () => {
        const name = normalizePath(args.path);
        return cutLines(decodeText(await session.read(name, signalOf(ctx)), name), args);
      }),
  );
  server.registerTool(
    "search",
    {
      title: "Search in files",
      description:
        "Finds lines that match a regular expression (RE2 syntax) in all files that have content. Pending files are not " +
        "generated; the answer says how many were left out.",
      inputSchema: z.object({
        pattern: z.string().min(1).describe("A regular expression, or with literal: true, plain text"),
        path: directory,
        literal: z.boolean().default(false),
        ignoreCase: z.boolean().default(false),
        limit: z.int().min(1).max(MOST_MATCHES).default(50).describe("The number of matches to return at most"),
      }),
      annotations: LOOKS,
    },
    (args, ctx) => answer(() => searchFiles(session, { ...args, path: normalizePath(args.path) }, signalOf(ctx))),
  );
  server.registerTool(
    "plan",
    {
      title: "Estimate the cost of pending files",
      description:
        "Shows which files are pending, which of them recordings can answer, and what generating the others may cost. Sends " +
        "and generates nothing.",
      inputSchema: z.object({ files: z.boolean().default(false).describe("Also show a line for each file") }),
      annotations: LOOKS,
    },
    (args) =>
      answer(async () => {
        await using looking = await session.look();
        const { planned, each } = await planFiles(looking, NO_PROGRESS);
        return {
          text: formatPlan(planned, args.files ? each : []),
          structured: { ...planned, each: each.map(summarizeFile) },
        };
      }),
  );
  server.registerTool(
    "why",
    {
      title: "Show where content comes from",
      description:
        "Shows who wrote a file, what it was generated from, what that cost, and why it failed. Generates nothing.",
      inputSchema: z.object({ path }),
      annotations: LOOKS,
    },
    (args) =>
      answer(async () => {
        const name = normalizePath(args.path);
        await using looking = await session.look();
        const file = await looking.tree.stat(name);
        const now = { ...(await session.waits(name)), failedRenewal: failedRenewalOf(name, await session.entries()) };
        return (await reportProvenance(file, session.live(name), looking, now)).join("\n");
      }),
  );
  if (!readOnly) registerChanges(server, session);
}

function registerChanges(server: McpServer, session: TreeSession): void {
  server.registerTool(
    "write",
    {
      title: "Write a file",
      description:
        "Replaces the content of a file, or creates it with the directories above it. A pending file that is written is never " +
        "generated.",
      inputSchema: z.object({ path, content: z.string().describe("The whole content") }),
      annotations: { ...WRITES, idempotentHint: true },
    },
    (args) =>
      answer(async () => {
        const name = normalizePath(args.path);
        const content = Buffer.from(args.content);
        await session.write(name, content);
        return `wrote ${formatBytes(content.length)} to ${name}`;
      }),
  );
  server.registerTool(
    "edit",
    {
      title: "Edit a file",
      description:
        "Replaces a piece of text in a file. The old text must occur exactly once, unless all: true. A pending file is " +
        "generated first.",
      inputSchema: z.object({
        path,
        old: z.string().min(1).describe("The text to replace, exactly as it is in the file"),
        new: z.string().describe("The text that takes its place"),
        all: z.boolean().default(false).describe("Replace every occurrence"),
      }),
      annotations: CHANGES,
    },
    (args, ctx) =>
      answer(async () => {
        const name = normalizePath(args.path);
        const before = decodeText(await session.read(name, signalOf(ctx)), name);
        const { text, count } = editText(before, args, name);
        await session.write(name, Buffer.from(text));
        return `replaced ${count} ${count === 1 ? "occurrence" : "occurrences"} in ${name}`;
      }),
  );
  server.registerTool(
    "regenerate",
    {
      title: "Generate a file again",
      description:
        "Generates new content for a file, optionally with another instruction, which the file keeps. The model is asked even if " +
        "an answer is recorded. If it fails, the old content stays. A file that somebody wrote is refused unless force: true.",
      inputSchema: z.object({
        path,
        prompt: z.string().optional().describe("The file's own instruction from now on"),
        force: z.boolean().default(false).describe("Also replace content that somebody wrote"),
      }),
      annotations: CHANGES,
    },
    ({ path: given, ...options }, ctx) =>
      answer(async () => {
        const name = normalizePath(given);
        await session.regenerate(name, options, signalOf(ctx));
        return `generated ${name} again`;
      }),
  );
  server.registerTool(
    "grow",
    {
      title: "Add files to the tree",
      description:
        "Has a model lay out more files for the tree. They are pending until they are read. Existing files are never changed. " +
        "With dryRun: true, only shows what would be added.",
      inputSchema: z.object({
        prompt: z.string().min(1).describe("What to add"),
        path: directory,
        dryRun: z.boolean().default(false),
      }),
      annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
    },
    (args, ctx) =>
      answer(async () => {
        const growth = await session.grow(normalizePath(args.path), args.prompt, args.dryRun, signalOf(ctx));
        const entries = growth.entries.map((entry) => `${entry.path}${entry.type === "directory" ? "/" : ""}`);
        const head = `${growth.added ? "added" : "would add"} ${entries.length} entries:`;
        return { text: [head, ...entries, ...describeLeftOut(growth)].join("\n"), structured: { ...growth } };
      }),
  );
}

type Answer = string | { readonly text: string; readonly structured: Record<string, unknown> };

/** A failure is an answer too: the model can read the reason, and act on it. */
async function answer(work: () => Promise<Answer>): Promise<CallToolResult> {
  try {
    const result = await work();
    if (typeof result === "string") return { content: [{ type: "text", text: result }] };
    return { content: [{ type: "text", text: result.text }], structuredContent: result.structured };
  } catch (error) {
    return { isError: true, content: [{ type: "text", text: explain(error) }] };
  }
}

function explain(error: unknown): string {
  if (!(error instanceof FsError)) return messageOf(error);
  return error.path === undefined ? `${error.code}: ${error.reason}` : `${error.path}: ${error.code}: ${error.reason}`;
}

function signalOf(context: ServerContext): AbortSignal {
  return context.mcpReq.signal;
}

function formatListing(found: readonly DetailedEntry[]): Answer {
  const entries = found.slice(0, MOST_ENTRIES);
  const left = found.length - entries.length;
  // A name with a newline must not look like two entries. The structured answer has the exact names.
  const lines = entries.map((entry) => printableLine(formatEntry(entry)));
  if (left > 0) lines.push(`… and ${left} more; list a directory below, or with recursive: false`);
  if (lines.length === 0) lines.push("the directory is empty");
  return { text: lines.join("\n"), structured: { entries, left } };
}

function formatEntry({ path, type, state, generator, size, description, target }: DetailedEntry): string {
  if (type === "directory") return `${path}/${description === undefined ? "" : `  ${description}`}`;
  if (type === "symlink") return `${path} -> ${target ?? ""}`;
  const parts = [
    state === "static" ? undefined : state,
    generator,
    size === undefined ? undefined : formatBytes(size),
  ].filter((part) => part !== undefined);
  return `${path}${parts.length === 0 ? "" : ` (${parts.join(", ")})`}${description === undefined ? "" : `  ${description}`}`;
}
