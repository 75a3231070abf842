/**
 * What the files of the soak test are generated from: a model, a server, databases, programs and user code. All of them
 * put the number of the current round into their content, so a reader knows what a file must contain.
 */
import { Database } from "bun:sqlite";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathOf } from "../../support/mounted.ts";
import { type Behaviour, type OpenaiServer, openaiServer, type ReceivedRequest } from "../../support/openai-server.ts";

/** The pending files that the model writes. Some are longer than a page, or longer than the claimed size. */
export const PAGES: Readonly<Record<string, number>> = {
  "pages/small.txt": 60,
  "pages/other.txt": 900,
  "pages/page.txt": 5000,
  "pages/large.txt": 300_000,
  "pages/huge.txt": 1_500_000,
};

/** How much of an answer is sent at once. */
const PIECE = 50_000;

/** A second name that pages get for a while. A request for it is answered with the page's content. */
export const LINK = "links/one";

/** Files whose rules say `refresh: always`, and their content in a round. The model's files are not among them. */
export const REFRESHED: Readonly<Record<string, (round: number) => string>> = {
  "refresh/static.txt": () => "as written\n",
  "refresh/exec.txt": (round) => `exec ${text(round)}\n`,
  "refresh/template.txt": (round) => `template exec ${text(round)}\nas written\n`,
  "refresh/http.txt": (round) => `http ${text(round)}\n`,
  "refresh/sql.csv": (round) => `round\r\n${text(round)}\r\n`,
  "refresh/inner.csv": (round) => `round\r\n${text(round)}\r\n`,
  "refresh/own.txt": (round) => `own ${text(round)}\n`,
};

/** Files that cannot be generated, and the error of opening them. */
export const FAILING: Readonly<Record<string, string>> = {
  "failing/exec.txt": "EIO",
  "failing/http.txt": "ENOENT",
  "failing/own.txt": "ENXIO",
  "failing/template.txt": "EIO",
};

/** Directories that a generator lists: the extension of their files, and what a file must contain. */
export const LISTED: Readonly<Record<string, { ending: string; content: (id: number, round: number) => string }>> = {
  "lists/exec": { ending: ".txt", content: (_id, round) => `exec ${text(round)}\n` },
  "lists/http": { ending: ".txt", content: (id, round) => `item ${id} ${text(round)}\n` },
  "lists/sql": { ending: ".csv", content: (id, round) => `id,round\r\n${id},${text(round)}\r\n` },
  "lists/own": { ending: ".txt", content: (id, round) => `/lists/own/${id}.txt ${text(round)}\n` },
};

/** The names of a listing in a round: mostly different ones than in the round before. */
export function idsOf(round: number): readonly number[] {
  return Array.from({ length: 20 }, (_, index) => 100_000 + round * 15 + index);
}

/** The length does not depend on the round, so that no round's contents take more space than another's. */
function text(round: number): string {
  return String(round).padStart(8, "0");
}

export class Outside implements AsyncDisposable {
  readonly directory: string;
  readonly model: OpenaiServer;
  readonly #api: Bun.Server<undefined>;
  readonly #database: Database;
  /** The model's last answer, by path. */
  readonly #answered = new Map<string, string>();
  /** The page that also has the name LINK. */
  linked = "";
  #answers = 0;
  #round = 0;

  private constructor(directory: string, model: OpenaiServer) {
    this.directory = directory;
    this.model = model;
    mkdirSync(directory);
    model.script((request) => this.#answer(request));
    this.#api = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => this.#serve(new URL(request.url)) });
    this.#database = new Database(join(directory, "shop.db"), { create: true });
    this.#database.run("PRAGMA journal_mode = WAL");
    this.#database.run("CREATE TABLE items (id INTEGER PRIMARY KEY, round TEXT)");
    writeFileSync(join(directory, "llmfs.config.ts"), configuration(this.#api.url.origin));
    this.begin(0);
  }

  static async open(directory: string): Promise<Outside> {
    return new Outside(directory, await openaiServer());
  }

  /** From now on, everything contains this round. */
  begin(round: number): void {
    this.#round = round;
    const ids = idsOf(round);
    this.#replace("round", text(round));
    this.#replace("names", ids.map((id) => `${id}.txt\n`).join(""));
    this.#database.transaction(() => {
      this.#database.run("DELETE FROM items");
      for (const id of ids) this.#database.run("INSERT INTO items VALUES (?, ?)", [id, text(round)]);
    })();
    // The scripted server keeps every request, which must not be what grows.
    this.model.requests.length = 0;
  }

  /** The answer that a reader of this file must get now. */
  answered(path: string): string {
    const answer = this.#answered.get(path);
    if (answer === undefined) throw new Error(`nobody asked for ${path}`);
    return answer;
  }

  #answer(request: ReceivedRequest): Behaviour {
    const asked = pathOf(request) ?? "";
    const path = asked === LINK ? this.linked : asked;
    if (path.startsWith("slow/")) return { hang: true };
    const line = `${path} ${text(++this.#answers)}\n`;
    const size = PAGES[path] ?? line.length;
    const answer = line.repeat(Math.ceil(size / line.length));
    this.#answered.set(path, answer);
    const pieces = Array.from({ length: Math.ceil(answer.length / PIECE) }, (_, index) => index * PIECE);
    return { stream: pieces.map((start) => answer.slice(start, start + PIECE)) };
  }

  #serve({ pathname }: URL): Response {
    const [, first, id] = pathname.split("/");
    if (first === "round") return new Response(`http ${text(this.#round)}\n`);
    if (first === "items" && id === undefined) return Response.json({ results: idsOf(this.#round) });
    if (first === "items") return new Response(`item ${id} ${text(this.#round)}\n`);
    return new Response("nothing here", { status: 404 });
  }

  #replace(name: string, content: string): void {
    const path = join(this.directory, name);
    writeFileSync(`${path}.new`, content);
    renameSync(`${path}.new`, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#database.close();
    await this.#api.stop(true);
    await this.model[Symbol.asyncDispose]();
  }
}

function configuration(url: string): string {
  return `
import { readFileSync } from "node:fs";
import { defineConfig, FsError } from "llmfs";

const from = (name) => readFileSync(import.meta.dirname + "/" + name, "utf8");
const always = (match, generator, options) => ({ match, generator, refresh: "always", options });

export default defineConfig({
  generators: {
    own: { generate: (path) => ({ content: "own " + from("round") + "\\n" }) },
    lister: { generate: (path) => ({ content: path + " " + from("round") + "\\n" }), list: () => from("names").trim().split("\\n") },
    finder: { generate: (path) => ({ content: path + "\\n" }) },
    failing: { generate: () => { throw new FsError("ENXIO", "never there"); } },
    shop: { use: "sql", url: "sqlite:./shop.db" },
    api: { use: "http", private: true, headers: { authorization: "Bearer secret" } },
    round: { use: "exec", command: ["sh", "-c", "echo exec $(cat round)"] },
  },
  rules: [
    always("refresh/static.txt", "static", { content: "as written\\n" }),
    always("refresh/exec.txt", "round"),
    always("refresh/template.txt", "template", { text: "template {{ '/refresh/exec.txt' | read }}{% include '/refresh/static.txt' %}" }),
    always("refresh/http.txt", "api", { url: "${url}/round" }),
    always("refresh/sql.csv", "shop", { query: "SELECT max(round) AS round FROM items" }),
    always("refresh/inner.csv", "sql", { database: "/inner.db", query: "SELECT round FROM t" }),
    always("refresh/own.txt", "own"),
    always("refresh/llm.txt", "llm"),
    { match: "refresh/timed.txt", generator: "round", refresh: "100ms" },
    { match: "refresh/stale.txt", generator: "round", refresh: "1ms", stale: true },
    always("failing/exec.txt", "exec", { command: ["sh", "-c", "echo half; echo the reason >&2; exit 70"] }),
    always("failing/http.txt", "api", { url: "${url}/nothing" }),
    always("failing/own.txt", "failing"),
    always("failing/template.txt", "template", { text: "{{ '/failing/exec.txt' | read }}" }),
    always("lists/exec/{id}.txt", "round", { list: ["cat", "names"] }),
    always("lists/http/{id}.txt", "api", { url: "${url}/items/{id}", list: "${url}/items", items: "$.results[*]" }),
    always("lists/sql/{id}.csv", "shop", { query: "SELECT id, round FROM items WHERE id = :id", list: "SELECT id FROM items" }),
    always("lists/own/**", "lister"),
    always("found/{id}.txt", "finder"),
  ],
});
`;
}
