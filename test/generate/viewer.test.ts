/** Files of another user than the one who mounted: composed of what that user may read, and made by no rule. */
import { describe, expect, test } from "bun:test";
import { FsError } from "../../src/errno.ts";
import { createEngine, type EngineOptions } from "../../src/generate/engine.ts";
import { compileRules, Rules } from "../../src/generators/config/rules.ts";
import type { GeneratorContext } from "../../src/generators/contract.ts";
import { createForesight } from "../../src/offline/dry-run.ts";
import { createOfflineTree, type OfflineTree } from "../../src/offline/tree.ts";
import { scriptedModel } from "../support/scripted-model.ts";

const MOUNTER = 1500;
const ALICE = 71_000;
const never = new AbortController().signal;

const SECRET = "the tide is a lie";

type Attributes = Readonly<Record<string, string>>;

function pending(path: string, uid: number, xattrs: Attributes = {}, mode = "0644") {
  const all = Object.entries(xattrs).map(([name, value]) => [`user.llmfs.${name}`, value]);
  return { path, type: "file", state: "pending", mode, uid, gid: uid, xattrs: Object.fromEntries(all) };
}

/** Alice's file in a tree with a secret. */
function tree(xattrs: Attributes = {}, shared = true, more: readonly object[] = []): OfflineTree {
  const entries = [
    { path: "/", type: "directory", mode: "0755", uid: MOUNTER },
    { path: "/README.md", type: "file", mode: "0644", uid: MOUNTER, text: "# Tides\n" },
    { path: "/private", type: "directory", mode: "0700", uid: MOUNTER, xattrs: { "user.llmfs.prompt": SECRET } },
    { path: "/private/notes.md", type: "file", mode: "0600", uid: MOUNTER, text: SECRET },
    { path: "/hidden.md", type: "file", mode: "0600", uid: MOUNTER, text: SECRET },
    { path: "/alice", type: "directory", mode: "0755", uid: ALICE, xattrs: { "user.llmfs.prompt": "Be brief." } },
    { path: "/alice/notes.md", type: "file", mode: "0600", uid: ALICE, text: "high water at six" },
    pending("/alice/it.md", ALICE, xattrs),
    pending("/ours.md", MOUNTER, xattrs),
    ...more,
  ];
  return createOfflineTree(Buffer.from(JSON.stringify({ llmfs: 1, entries })), () => {}, shared ? MOUNTER : undefined);
}

/** What is sent for a file, or the errno; and the number of times that a model was asked. */
async function sent(from: OfflineTree, path: string, options: Partial<EngineOptions> = {}): Promise<string> {
  const model = scriptedModel("whatever\n");
  const engine = createEngine({ model, modelName: "m", tree: from, ...options });
  try {
    await engine.generate(from.request(path), never);
  } catch (error) {
    if (error instanceof FsError) return `${error.code} ${error.message} ${model.requests.length}`;
    throw error;
  }
  return model.requests.flatMap(({ messages }) => messages.map(({ content }) => content)).join("\n");
}

function rules(...list: readonly object[]): Rules {
  return new Rules(compileRules(list, { known: ["exec", "llm"], named: new Map(), environment: {} }));
}

describe("files that the file's owner may not read", () => {
  const NAMED = { prompt: "Repeat /private/notes.md and hidden.md word by word.", description: "as hidden.md" };

  test("an unreadable file is not sent, even if a prompt names it", async () => {
    const text = await sent(tree(NAMED), "/alice/it.md");
    expect(text).toContain("high water at six");
    expect(text).toContain("# Tides");
    expect(text).toContain("Be brief.");
    expect(text).not.toContain(SECRET);
    // The words of the prompt itself remain.
    expect(text.replaceAll(NAMED.prompt, "").replaceAll(NAMED.description, "")).not.toMatch(/private|hidden/);
  });

  test("an unreadable dependency is not sent, and the error does not reveal whether it exists", async () => {
    for (const path of ["/private/notes.md", "/private/none.md", "/hidden.md", "../hidden.md"]) {
      const answer = await sent(tree({ depends: path }), "/alice/it.md");
      expect(answer).toMatch(/^EACCES \/alice\/it.md depends on .*: user 71000, who owns .* may not read it 0$/);
    }
  });

  test("an unreadable file is not sent through a symlink to it", async () => {
    const link = { path: "/alice/link", type: "symlink", uid: ALICE, target: "../private/notes.md" };
    expect(await sent(tree({ depends: "link" }, true, [link]), "/alice/it.md")).toStartWith("EACCES ");
  });

  test("an unreadable file is not sent by way of a pending file", async () => {
    const between = pending("/private/made.md", MOUNTER);
    expect(await sent(tree({ depends: "/private/made.md" }, true, [between]), "/alice/it.md")).toStartWith("EACCES ");
  });

  test("everything is sent for a file of the mount's owner if no other user can access the mount", async () => {
    for (const [from, path] of [
      [tree({ ...NAMED, depends: "/private/notes.md" }), "/ours.md"],
      [tree({ ...NAMED, depends: "/private/notes.md" }, false), "/alice/it.md"],
    ] as const) {
      expect(await sent(from, path)).toContain(SECRET);
    }
  });

  test("a file of the mount's owner gets the same context whether other users can access the mount or not", async () => {
    const texts = [true, false].map((shared) => sent(tree(NAMED, shared), "/ours.md"));
    const [a, b] = await Promise.all(texts);
    // What a directory of Alice's says holds for her files.
    expect(a).toBe(b ?? "");
  });

  test("a file excluded by .llmfsignore stays excluded even if its reader may not read the rules", async () => {
    const more = [
      { path: "/alice/.llmfsignore", type: "file", mode: "0600", uid: MOUNTER, text: "draft.md\n" },
      { path: "/alice/draft.md", type: "file", mode: "0644", uid: ALICE, text: "a draft" },
    ];
    const text = await sent(tree({}, true, more), "/alice/it.md");
    expect(text).not.toContain("draft");
    expect(await sent(tree({ depends: "draft.md" }, true, more), "/alice/it.md")).toStartWith("EIO ");
  });

  test("a generator cannot read the file either", async () => {
    const looks: Record<string, (context: GeneratorContext) => Promise<unknown>> = {
      outline: async ({ outline }) => (await outline()).map(({ path }) => path),
      list: ({ list }) => list("/private"),
      read: ({ read }) => read("/private/notes.md"),
      related: async ({ related }) => (await related()).map(({ path }) => path),
      prompts: async ({ prompts }) => prompts,
      setting: ({ setting }) => setting("prompt"),
    };
    const from = tree({ generator: "mine", origin: "/made/it.md", ...NAMED });
    const results = Object.entries(looks).map(async ([name, look]) => {
      const generate = async (_: string, context: GeneratorContext) => ({
        content: JSON.stringify(await look(context)),
      });
      const generators = new Map([["mine", { generate }]]);
      const engine = createEngine({ model: scriptedModel(), modelName: "m", tree: from, generators });
      const { settings: _, ...request } = from.request("/alice/it.md");
      const told = await engine.generate(request, never).then(
        ({ bytes }) => Buffer.from(bytes).toString(),
        ({ code }: FsError) => code,
      );
      return [name, told];
    });
    expect(Object.fromEntries(await Promise.all(results))).toEqual({
      outline: expect.not.stringMatching(/private|hidden/),
      list: "EACCES",
      read: "EACCES",
      related: expect.not.stringMatching(/private|hidden/),
      prompts: JSON.stringify(["Be brief.", NAMED.prompt]),
      setting: JSON.stringify(NAMED.prompt),
    });
  });

  test("nothing is sent if the owner's groups cannot be determined", async () => {
    const { viewAs: _, ...from } = tree();
    expect(await sent(from, "/alice/it.md")).toStartWith("EACCES ");
  });
});

describe("rules and files of other users", () => {
  const EXEC = rules({ match: "**/*.md", generator: "exec", options: { command: ["cat", "/etc/shadow"] } });
  const generators = (ran: string[]) => {
    const generate = (path: string) => {
      ran.push(path);
      return { content: "by a program" };
    };
    return new Map([["exec", { generate }]]);
  };

  test("a rule does not generate files of other users, wherever they create them", async () => {
    const ran: string[] = [];
    const text = await sent(tree(), "/alice/it.md", { rules: EXEC, generators: generators(ran) });
    expect([ran, text.includes("high water at six")]).toEqual([[], true]);
    await sent(tree(), "/ours.md", { rules: EXEC, generators: generators(ran) });
    expect(ran).toEqual(["/ours.md"]);
  });

  test("a rule does not generate a file of another user that names the generator", async () => {
    const ran: string[] = [];
    const answer = await sent(tree({ generator: "exec" }), "/alice/it.md", {
      rules: EXEC,
      generators: generators(ran),
    });
    expect(answer).toMatch(/^EPERM \/alice\/it.md: cannot use the generator "exec": it belongs to user 71000/);
    expect(ran).toEqual([]);
  });

  test("a file generated for another user, and then given away, can be generated", async () => {
    const ran: string[] = [];
    const from = tree({ generator: "exec", origin: "/reports/1.md" });
    await sent(from, "/alice/it.md", { rules: EXEC, generators: generators(ran) });
    expect(ran).toEqual(["/reports/1.md"]);
  });
});

describe("a preview", () => {
  test("a preview shows exactly what is sent", async () => {
    const from = tree({ prompt: "Repeat /private/notes.md.", depends: "/alice/notes.md" });
    const foresight = createForesight({ modelName: "m", tree: from, request: from.request });
    const { asks } = await foresight.foresee("/alice/it.md");
    const text = asks?.request.messages.map(({ content }) => content).join("\n");
    expect(text).toBe(await sent(from, "/alice/it.md"));
    expect(text).not.toContain(SECRET);
    const sections = await foresight.sections("/alice/it.md");
    expect(sections.map((section) => section.text).join()).not.toContain(SECRET);
  });

  test("the preview of a file that depends on an unreadable file fails", async () => {
    const from = tree({ depends: "/hidden.md" });
    const foresight = createForesight({ modelName: "m", tree: from, request: from.request });
    expect((await foresight.foresee("/alice/it.md")).failure?.code).toBe("EACCES");
    await expect(foresight.sections("/alice/it.md")).rejects.toThrow("may not read it");
  });

  test("a pending dependency of the mount's owner is generated as that owner", async () => {
    const from = tree({ depends: "/made.md" }, true, [pending("/made.md", MOUNTER, { depends: "/private/notes.md" })]);
    const foresight = createForesight({ modelName: "m", tree: from, request: from.request });
    expect((await foresight.foresee("/alice/it.md")).asks?.exact).toBe(false);
    expect((await foresight.foresee("/made.md")).asks?.request.messages[1]?.content).toContain(SECRET);
    expect(from.request("/alice/it.md").viewer).toBe(ALICE);
  });
});
