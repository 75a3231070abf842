/**
 * Measures how fast `llmfs warm` generates files that depend on each other, compared with what their chains allow.
 *
 *   bun bench/chains.ts          with dist/llmfs
 *
 * A server takes a second for each answer, and 4 files are generated at a time. The ideal is the same order of files without any
 * time for anything but the answers. Goal: 90 % of it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Schedule } from "../src/generate/schedule.ts";
import { structureToSnapshot } from "../src/snapshot/structure.ts";

const LLMFS = join(import.meta.dir, "../dist/llmfs");
const LATENCY_MS = 1000;
const AT_ONCE = 4;
const ROUNDS = 1;

interface File {
  readonly path: string;
  readonly depends: string;
}

/** `count` files, each of which depends on the one before it. */
function chain(name: string, count: number): readonly File[] {
  return Array.from({ length: count }, (_, index) => ({
    path: `/${name}${index}.txt`,
    depends: index === 0 ? "" : `/${name}${index - 1}.txt`,
  }));
}

/** Files whose names come first, and that nothing depends on. */
const independent = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ path: `/a${index}.txt`, depends: "" }));

/** An interface, its implementations, their tests, and a document about all of them. */
function project(parts: number): readonly File[] {
  const each = (name: string, depends: (index: number) => string) =>
    Array.from({ length: parts }, (_, index) => ({ path: `/${name}${index}.txt`, depends: depends(index) }));
  const sources = each("source", () => "/interface.txt");
  return [
    { path: "/interface.txt", depends: "" },
    ...sources,
    ...each("test", (index) => `/source${index}.txt\n/interface.txt`),
    { path: "/about.txt", depends: sources.map(({ path }) => path).join("\n") },
  ];
}

const TREES: Readonly<Record<string, readonly File[]>> = {
  "one chain of 12": chain("z", 12),
  "a chain of 12 among 36 independent files": [...independent(36), ...chain("z", 12)],
  "four chains of 10": ["w", "x", "y", "z"].flatMap((name) => chain(name, 10)),
  "a project of 18 files": project(8),
};

/** The number of answers that must be waited for one after the other. */
function countSteps(files: readonly File[]): number {
  const schedule = new Schedule(files);
  for (let steps = 0; ; steps++) {
    const taken = Array.from({ length: AT_ONCE }, () => schedule.take()).filter((node) => node !== undefined);
    if (taken.length === 0) return steps;
    for (const node of taken) schedule.finish(node);
  }
}

function serve(): void {
  const event = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
  const body = [
    event({ model: "bench", choices: [{ index: 0, delta: { content: "one line of text\n" }, finish_reason: null }] }),
    event({ model: "bench", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }),
    event({ model: "bench", choices: [], usage: { prompt_tokens: 100, completion_tokens: 10 } }),
    "data: [DONE]\n\n",
  ].join("");
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      await request.arrayBuffer();
      // Connections are opened ahead with other requests.
      if (!request.url.endsWith("/chat/completions")) return new Response("", { status: 404 });
      await Bun.sleep(LATENCY_MS);
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  console.log(server.port);
}

async function llmfs(state: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, XDG_STATE_HOME: state };
  const child = Bun.spawn([LLMFS, ...args], { env, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`llmfs ${args[0]}: ${err}`);
  return out;
}

async function measure(): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), "llmfs-bench-"));
  const mnt = join(place, "mnt");
  mkdirSync(mnt);
  const server = Bun.spawn([process.execPath, import.meta.path, "--server"], { stdout: "pipe" });
  const port = Number(new TextDecoder().decode((await server.stdout.getReader().read()).value));
  const model = ["--base-url", `http://127.0.0.1:${port}/v1`, "--model", "bench", "--mode", "off"];
  try {
    for (const [name, files] of Object.entries(TREES)) {
      const from = join(place, "from.json");
      const entries = files.map(({ path, depends }) => ({
        path,
        type: "file" as const,
        ...(depends !== "" && { uses: depends.split("\n") }),
      }));
      writeFileSync(from, structureToSnapshot(entries));
      const ideal = (countSteps(files) * LATENCY_MS) / 1000;
      const shares: string[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        await llmfs(place, "mount", mnt, "--from", from, "--concurrency", String(AT_ONCE), ...model);
        // In this time everything is loaded that the first reader would otherwise wait for.
        await Bun.sleep(1500);
        const { done, seconds } = JSON.parse(await llmfs(place, "warm", "--json", mnt));
        await llmfs(place, "unmount", "--lazy", mnt);
        if (done !== files.length) throw new Error(`${done} of ${files.length} files were generated`);
        shares.push(`${((ideal / seconds) * 100).toFixed(0)} %`);
      }
      console.log(`${name}: ${shares.join(", ")} of the ideal ${ideal.toFixed(1)} s`);
    }
  } finally {
    server.kill();
    rmSync(place, { recursive: true, force: true });
  }
}

if (process.argv[2] === "--server") serve();
else await measure();
