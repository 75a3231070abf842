import { expect, test } from "bun:test";
import { OfflineTree, type OfflineTreeOptions } from "../../src/offline/offline-tree.ts";

const OWNED = '{"path": "/kept", "type": "file", "mode": "0640", "uid": 7, "gid": 8, "text": "x\\n"}';
const TIMED =
  '{"path": "/old", "type": "file", "mode": "0644", "atime": "1.5", "mtime": "2.5", "ctime": "3.5", "text": "y\\n"}';

function snapshot(...entries: string[]): Buffer {
  const root = '{"path": "/", "type": "directory", "mode": "0755"}';
  return Buffer.from(`{\n  "llmfs": 1,\n  "entries": [\n    ${[root, ...entries].join(",\n    ")}\n  ]\n}\n`);
}

/** The entries of a snapshot after a file was added, each without the comma at its end. */
async function changed(text: Uint8Array, options: OfflineTreeOptions): Promise<readonly string[]> {
  const tree = new OfflineTree({ text }, options);
  tree.write("/new", Buffer.from("z\n"));
  const written = Buffer.concat(await Array.fromAsync(tree.snapshot())).toString();
  return written.split("\n").flatMap((line) => (line.includes('"path"') ? [line.trim().replace(/,$/, "")] : []));
}

test("a snapshot that is rewritten keeps owners, and gets neither owners nor times that it did not have", async () => {
  expect(await changed(snapshot(OWNED), { rewrites: true })).toEqual([
    '{"path": "/", "type": "directory", "mode": "0755"}',
    OWNED,
    '{"path": "/new", "type": "file", "mode": "0644", "text": "z\\n"}',
  ]);
});

test("a snapshot that is rewritten keeps its times, and new files get the time of the change", async () => {
  const lines = await changed(snapshot(TIMED), { rewrites: true, epoch: 77 });
  expect(lines).toContain(TIMED);
  expect(lines.find((line) => line.includes("/new"))).toContain('"mtime": "77"');
});

test("a snapshot with a few modification times keeps these, and gets no others", async () => {
  const touched = '{"path": "/old", "type": "file", "mode": "0644", "mtime": "2.5", "text": "y\\n"}';
  expect(await changed(snapshot(OWNED, touched), { rewrites: true })).toEqual([
    '{"path": "/", "type": "directory", "mode": "0755"}',
    OWNED,
    '{"path": "/new", "type": "file", "mode": "0644", "text": "z\\n"}',
    touched,
  ]);
});

test("a tree that is not rewritten belongs to this user, and is written without times", async () => {
  const [root, old] = await changed(snapshot(TIMED), {});
  expect(root).toContain(`"uid": ${process.getuid?.()}`);
  expect(old).not.toContain("time");
});

test("a tree lists, reads and finds requests by path, and its port refuses files that are not generated", async () => {
  const pending = '{"path": "/p", "type": "file", "mode": "0644", "state": "pending"}';
  const tree = new OfflineTree({ text: snapshot(OWNED, pending) });
  expect(tree.entries().map(({ path }) => path)).toEqual(["/kept", "/p"]);
  expect(tree.files.map(({ state }) => state)).toEqual(["static", "pending"]);
  expect([tree.read("/kept"), tree.read("/p")]).toEqual([Buffer.from("x\n"), undefined]);
  expect(tree.request("/p")).toMatchObject({ path: "/p", generator: "llm" });
  await expect(tree.port.read("/p")).rejects.toThrow("/p: it is not generated yet");
  await expect(tree.port.read("/")).rejects.toThrow("/: it is a directory");
  expect(() => tree.stat("/none")).toThrow("/none: no such file or directory");
});
