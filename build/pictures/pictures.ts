/**
 * The pictures of a real terminal in the README and the docs:
 *
 *   npm run build && node_modules/.bin/bun build/pictures/pictures.ts
 *
 * The answers of the example are recorded, so every run draws the same, except in the picture of `llmfs status`, which has
 * times and the memory of a process.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { draw, record, type Session } from "./terminal.ts";

const ROOT = join(import.meta.dir, "../..");
const EXAMPLE = join(ROOT, "examples/harbour");
const REPLAY = "--from harbour.json --mode replay --recordings recordings --model demo";

type Name = "terminal" | "tree" | "status";

const PICTURES: readonly Name[] = ["terminal", "tree", "status"];

export function fileOf(name: Name): string {
  return join(ROOT, `docs/${name}.svg`);
}

const READING = [
  `llmfs run ${REPLAY} -- sh`,
  "ls -goR      # the whole tree is there; nothing has been generated",
  "head -n 4 berths.csv      # the first read generates the file",
  "ls -go       # now it is a file like any other",
  "exit",
];

/** The SVG. `executable` is called llmfs. Needs permission to mount. */
export async function picture(name: Name, executable = join(ROOT, "dist/llmfs")): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), "llmfs-picture-"));
  const common = { cwd: EXAMPLE, home, columns: 92, rows: 60 };
  // Everybody's home directory has another name.
  const take = async (session: Session) =>
    draw(await record(session, executable), session).replaceAll(home, "/home/me");
  try {
    if (name === "terminal") {
      return await take({ ...common, title: "A terminal session: llmfs run, ls, head and ls again", lines: READING });
    }
    mkdirSync(join(home, "harbour"));
    for (const part of ["harbour.json", "recordings"])
      cpSync(join(EXAMPLE, part), join(home, part), { recursive: true });
    if (name === "tree") {
      const title = "A terminal session: llmfs tree shows which files are pending and which are ready";
      const lines = [
        "llmfs mount harbour --from harbour.json --mode replay",
        "wc -l < harbour/berths.csv",
        "llmfs tree harbour",
        "llmfs unmount harbour",
      ];
      const env = { LLMFS_RECORDINGS: "recordings", LLMFS_MODEL: "demo" };
      return await take({ ...common, cwd: home, title, lines, env });
    }
    using server = serveSlowly();
    const title = "A terminal: llmfs status --watch while files are generated";
    const lines = [
      "llmfs mount harbour --from harbour.json --mode off --max-calls 20",
      "cat harbour/berths.csv > /dev/null",
      "(cat harbour/*.md > /dev/null &) 2> /dev/null",
      "llmfs status --watch harbour",
    ];
    const env = { OPENAI_BASE_URL: server.url, LLMFS_MODEL: "demo" };
    try {
      return await take({ ...common, cwd: home, title, lines, env, until: /generating/ });
    } finally {
      Bun.spawnSync({
        cmd: [executable, "unmount", "--lazy", join(home, "harbour")],
        env: { ...process.env, HOME: home },
      });
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** A server that answers the first request, and begins to answer all others. */
function serveSlowly(): Disposable & { readonly url: string } {
  let requests = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request) {
      if (!request.url.endsWith("/chat/completions")) return new Response("not found", { status: 404 });
      requests++;
      const chunk = (delta: object, finish: string | null) =>
        `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "demo", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
      const first = chunk({ role: "assistant", content: "berth,ship\n" }, null);
      const end = requests === 1 ? `${chunk({}, "stop")}data: [DONE]\n\n` : "";
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(first + end));
          if (end !== "") controller.close();
        },
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  return { url: `http://127.0.0.1:${server.port}/v1`, [Symbol.dispose]: () => void server.stop(true) };
}

if (import.meta.main) for (const name of PICTURES) await Bun.write(fileOf(name), await picture(name));
