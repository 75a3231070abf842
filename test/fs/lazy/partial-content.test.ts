/**
 * Content that arrives in pieces: no reader sees any of it before it is complete, and incomplete content leaves
 * nothing.
 */
import { expect, test } from "bun:test";
import type { FromFilesystem } from "../../../src/rpc/messages.ts";
import { type ServedTree, served } from "../../support/served.ts";

const PIECE = "p".repeat(200_000);

function waiting(fs: ServedTree, path = "/f"): number {
  return fs.kernel.start("open", fs.node(path), { flags: 0 });
}

function piece(fs: ServedTree, text: string, ticket = fs.ticket): FromFilesystem | undefined {
  fs.mount.waiters.takePiece(ticket, Buffer.from(text));
  return fs.posted.at(-1);
}

/** Ends the content: there are no more pieces. */
function whole(fs: ServedTree, ticket = fs.ticket): void {
  fs.mount.waiters.takeContent(ticket, { bytes: new Uint8Array(0), metadata: new Map(), streamed: true });
}

function text(fs: ServedTree, path = "/f"): string {
  return fs.cat(path);
}

test("the content appears when all pieces have arrived, and not before", () => {
  using fs = served();
  const file = fs.pending("/f");
  const open = waiting(fs);
  expect(piece(fs, PIECE)).toEqual({ type: "taken", ticket: fs.ticket });
  piece(fs, "end\n");
  expect(fs.kernel.outcome(open)).toBeUndefined();
  expect([file.state, file.size]).toEqual(["generating", 0]);
  whole(fs);
  expect(fs.kernel.outcome(open)).toHaveProperty("value");
  expect(fs.kernel.stat(fs.node("/f")).size).toBe(PIECE.length + 4);
  expect(text(fs)).toBe(`${PIECE}end\n`);
});

test("a generation that fails half-way leaves nothing, and frees its space", () => {
  using fs = served();
  const file = fs.pending("/f");
  const open = waiting(fs);
  piece(fs, PIECE);
  expect(fs.tree.space.usedPages).toBeGreaterThan(0);
  fs.failed("EIO");
  expect(fs.kernel.outcome(open)).toEqual({ error: "EIO" });
  expect([file.state, file.size, fs.tree.space.usedPages]).toEqual(["failed", 0, 0]);
});

test("a generation whose last waiter leaves half-way leaves nothing, and frees its space", () => {
  using fs = served();
  fs.pending("/f");
  const open = waiting(fs);
  const { ticket } = fs;
  piece(fs, PIECE);
  fs.kernel.interrupt(open);
  expect(fs.tree.space.usedPages).toBe(0);
  expect(piece(fs, PIECE, ticket)).toMatchObject({ type: "taken", ticket, code: "EINTR" });
  whole(fs, ticket);
  expect(fs.tree.space.usedPages).toBe(0);
});

test("content that does not fit is rejected at the first piece that is too large", () => {
  using fs = served({ size: 300_000 });
  const file = fs.pending("/f");
  const open = waiting(fs);
  expect(piece(fs, PIECE)).toEqual({ type: "taken", ticket: fs.ticket });
  expect(piece(fs, PIECE)).toMatchObject({ type: "taken", code: "ENOSPC" });
  expect(fs.tree.space.usedPages).toBe(0);
  expect(piece(fs, "x")).toMatchObject({ type: "taken", code: "ENOSPC" });
  whole(fs);
  expect(fs.kernel.outcome(open)).toEqual({ error: "ENOSPC" });
  expect([file.state, file.size]).toEqual(["failed", 0]);
});

test("a write while pieces arrive wins over the generated content", () => {
  using fs = served();
  fs.pending("/f");
  const open = waiting(fs);
  const { ticket } = fs;
  piece(fs, PIECE);
  const writer = fs.open("/f", 1);
  fs.write(writer, "mine");
  whole(fs, ticket);
  fs.kernel.release(writer.nodeid, writer.fh);
  expect(fs.kernel.outcome(open)).toHaveProperty("value");
  expect(text(fs)).toBe("mine");
});

test("regenerated content that arrives in pieces replaces the old one; the same content changes nothing", () => {
  using fs = served();
  const file = fs.pending("/f", { "user.llmfs.refresh": "always" });
  const first = waiting(fs);
  piece(fs, PIECE);
  whole(fs);
  const held = fs.kernel.outcome<"open">(first);
  const again = fs.kernel.start("open", fs.node("/f"), { flags: 0 });
  piece(fs, PIECE);
  whole(fs);
  expect(fs.kernel.outcome(again)).toHaveProperty("value");
  expect(fs.tree.root.get("f")?.inode).toBe(file);
  const third = fs.kernel.start("open", fs.node("/f"), { flags: 0 });
  piece(fs, PIECE);
  piece(fs, "and more\n");
  whole(fs);
  expect(fs.kernel.outcome(third)).toEqual({ error: "ESTALE" });
  if (held === undefined || "error" in held) throw new Error("the first open failed");
  expect(fs.kernel.readAll(file.ino, held.value.fh).toString()).toBe(PIECE);
  const current = fs.tree.root.get("f")?.inode;
  expect(current?.kind === "file" && Buffer.from(current.bytes()).toString()).toBe(`${PIECE}and more\n`);
});
