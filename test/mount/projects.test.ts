/** Files that fit each other: whole projects from a model that knows nothing but its request. */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { describeMounted, type Mounted, pathOf, unmounted } from "../support/mounted.ts";
import { BINARY } from "../support/program.ts";
import { C_TOOL, layoutOf, type Project, PYTHON_LIBRARY, TYPESCRIPT_SERVICE, writeFrom } from "../support/projects.ts";

setDefaultTimeout(120_000);

/** Mounts the project's layout, and answers its requests. */
async function mountProject(project: Project, uses: boolean, ...args: string[]): Promise<Mounted> {
  const m = await unmounted((path, { body }) => ({
    stream: writeFrom(project, path, body.messages.at(-1).content),
  }));
  m.tree = { whole: layoutOf(project, uses) };
  await m.mount(["--prompt", project.name, ...m.modelArgs(), ...args]);
  return m;
}

/** Runs the project's check in a copy of the mount. Reading it generates all files. */
function check(m: Mounted, { check }: Project) {
  return m.sh(
    `rm -rf "$OUT/copy" && cp -R . "$OUT/copy" && cd "$OUT/copy" && BUN=${process.execPath} && export BUN && ${check}`,
  );
}

describeMounted("a project of twelve files", () => {
  for (const project of [C_TOOL, PYTHON_LIBRARY, TYPESCRIPT_SERVICE]) {
    test(`${project.name}: its check fails if files do not see each other`, async () => {
      expect(Object.keys(project.files)).toHaveLength(12);
      await using m = await mountProject(project, false);
      expect((await check(m, project)).status).not.toBe(0);
    });

    test(`${project.name}: its check passes at the first try if files are written with what they use`, async () => {
      await using m = await mountProject(project, true);
      const { status, stdout, stderr } = await check(m, project);
      expect([status, status === 0 ? "" : stdout + stderr]).toEqual([0, ""]);
      // One request for the layout, and one for each file.
      expect(m.server.requests.length).toBe(13);
    });

    test(`${project.name}: its requests do not depend on the order in which files are read`, async () => {
      const keys: string[][] = [];
      const paths = Object.keys(project.files);
      const orders = [[...paths], paths.toReversed(), paths.toSorted((a, b) => a.length - b.length)];
      for (const order of orders) {
        await using m = await mountProject(project, true, "--recordings", "answers");
        for (const path of order) await m.out(`cat "${path}"`);
        keys.push(readdirSync(m.sandbox.at("answers"), { recursive: true }).map(String).sort());
      }
      await using m = await mountProject(project, true, "--recordings", "answers", "--concurrency", "3");
      expect((await m.sandbox.llmfs(["warm", m.dir], { program: BINARY })).status).toBe(0);
      keys.push(readdirSync(m.sandbox.at("answers"), { recursive: true }).map(String).sort());
      for (const other of keys) expect(other).toEqual(keys[0] ?? []);
      expect(keys[0]?.length).toBeGreaterThanOrEqual(13);
    });
  }

  test("a project is completed with --concurrency 1, although files wait for others", async () => {
    await using m = await mountProject(C_TOOL, true, "--concurrency", "1");
    expect((await m.sandbox.llmfs(["warm", m.dir], { program: BINARY })).status).toBe(0);
    const order = m.server.requests.flatMap((request) => pathOf(request) ?? []);
    for (const [path, { uses = [] }] of Object.entries(C_TOOL.files)) {
      for (const used of uses) expect(order.indexOf(used)).toBeLessThan(order.indexOf(path));
    }
  });

  test("a project is laid out and written as independent files with --no-depends", async () => {
    await using m = await mountProject(C_TOOL, true, "--no-depends");
    expect(JSON.stringify(m.server.received(0).body)).not.toContain('\\"uses\\"');
    await m.out("setfattr -n user.llmfs.depends -v ../include/count.h src/main.c");
    expect(JSON.parse((await m.sandbox.llmfs(["plan", "--json", m.dir], { program: BINARY })).stdout)).toMatchObject({
      depth: 1,
      inexact: 0,
    });
    expect(await m.out("cat src/main.c")).toContain("count_words(read_all(stdin))");
    expect([m.asked("include/count.h"), m.asked("src/main.c")]).toEqual([0, 1]);
  });

  test("requests contain files that a user wrote by hand before", async () => {
    await using m = await mountProject(C_TOOL, true);
    await m.out("printf '#pragma once\\nunsigned long tally(const char *text);\\n' > include/count.h");
    expect(await m.out("cat src/count.c")).toContain("unsigned long tally(const char *text)");
    expect(m.asked("include/count.h")).toBe(0);
  });

  test("requests contain files of other generators that the prompt of a rule names, in any order of reads", async () => {
    const prompts: string[] = [];
    for (const first of ["summary.md", "data.csv"]) {
      await using m = await unmounted((path, { body }) => {
        prompts.push(body.messages.at(-1).content);
        return { stream: `summary of ${path}\n` };
      });
      using shop = new Database(m.sandbox.at("shop.db"));
      shop.run("CREATE TABLE t AS SELECT 1 AS id, 'herring' AS fish");
      const rules = [
        { match: "data.csv", generator: "sql", options: { url: "sqlite:./shop.db", query: "SELECT * FROM t" } },
        { match: "fish/{id}.txt", generator: "template", options: { text: "fish {{ params.id }}" } },
        {
          match: "summary.md",
          generator: "llm",
          options: {
            prompt: "Summarize /data.csv and /fish/7.txt.",
            description: "a summary",
            "max-tokens": 77,
            temperature: 0.5,
          },
        },
      ];
      writeFileSync(m.sandbox.at("llmfs.config.json"), JSON.stringify({ rules }));
      await m.mount([...m.modelArgs(), "--config", "llmfs.config.json"]);
      await m.out(`cat ${first}`);
      expect(await m.out("cat summary.md")).toBe("summary of summary.md\n");
      expect(m.server.received(0).body).toMatchObject({ temperature: 0.5 });
      expect(JSON.stringify(m.server.received(0).body)).toContain(":77");
      const context = await m.sandbox.llmfs(["context", `${m.dir}/summary.md`], { program: BINARY });
      expect(context.stdout).toContain("data.csv: this file depends on it");
      expect(context.stdout).toContain("1,herring");
    }
    expect(prompts[0]).toContain("data.csv (this file depends on it):\n\n```\nid,fish\r\n1,herring\r\n```");
    expect(prompts[0]).toContain("fish/7.txt (this file depends on it):\n\n```\nfish 7\n```");
    expect(prompts[0]).toContain("What it is: a summary");
    expect(prompts[1]).toBe(prompts[0] ?? "");
  });
});
