/** What a model adds around a file's content does not reach the mount, from a server or from recordings. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { describeMounted, mounted } from "../support/mounted.ts";
import { BINARY } from "../support/program.ts";

setDefaultTimeout(60_000);

const ANSWERS: Readonly<Record<string, string>> = {
  "r1.py": "Okay, a script that prints.\n</think>\n\nprint('r1')\n",
  "run.sh": "\n\n#!/bin/sh\necho shebang\n<|im_end|>",
  "oss.py":
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|> print('oss')<|return|>",
  "fenced.py": "Here is the script:\n\n```python\nprint('fenced')\n```\n\nIt prints.\n",
};

describeMounted("text around an answer", () => {
  test("text around an answer is not in the file: programs run, even from old recordings of such answers", async () => {
    await using m = await mounted({
      pending: Object.keys(ANSWERS),
      answer: (path) => ({ stream: ANSWERS[path] ?? "" }),
      args: ["--recordings", "rec"],
    });
    const script =
      "for f in r1 oss fenced; do python3 $f.py; done; cp run.sh $OUT/run.sh; chmod +x $OUT/run.sh; $OUT/run.sh";
    const said = "r1\noss\nfenced\nshebang\n";
    expect(await m.out(script)).toBe(said);
    const replay = ["run", "--from", "from.json", "--recordings", "rec", "--mode", "replay", "--model", "scripted"];
    const shell = ["--", "sh", "-c", script];
    const env = { OUT: m.sandbox.path };
    expect(await m.sandbox.llmfs([...replay, ...shell], { program: BINARY, env })).toMatchObject({
      status: 0,
      stdout: said,
      stderr: "",
    });
    // The recordings hold the model's full answer.
    const texts = readdirSync(m.sandbox.at("rec")).map((name) => Bun.file(m.sandbox.at(`rec/${name}`)).text());
    const all = (await Promise.all(texts)).join("");
    for (const answer of Object.values(ANSWERS)) expect(all).toContain(answer);
  });

  test("if text around an answer cannot be removed, llmfs asks once more, and both answers are recorded and pruned with the file", async () => {
    let round = 1;
    await using m = await mounted({
      pending: ["a.py"],
      answer: () => ({
        stream: `One:\n\`\`\`python\nprint(${round})\n\`\`\`\nOr:\n\`\`\`python\nprint(0)\n\`\`\`\n`,
      }),
      args: ["--recordings", "rec", "--max-calls", "20"],
    });
    // The second request, with the answer in it, does not end with the file's name.
    m.tree = () => ({ stream: `print(${round})\n` });
    expect(await m.out("cat a.py")).toBe("print(1)\n");
    expect(m.server.requests).toHaveLength(2);
    const again = m.server.received(1).body.messages.at(-1).content;
    expect(again).toContain("Answer again with the content of a.py and nothing else");
    expect(await m.xattr("a.py", "meta.input_tokens")).toBe("22");
    const llmfs = (...args: string[]) => m.sandbox.llmfs(args, { program: BINARY });
    const replay = ["run", "--from", "from.json", "--recordings", "rec", "--mode", "replay", "--model", "scripted"];
    expect(await llmfs(...replay, "--", "cat", "a.py")).toMatchObject({ status: 0, stdout: "print(1)\n", stderr: "" });
    const prune = ["recordings", "prune", "--recordings", "rec", "--model", "scripted", "--for", "from.json"];
    const any = [...prune, "--older-than", "0"];
    expect((await llmfs(...prune)).stderr).toMatch(/^0 removed, 2 kept/);
    round = 2;
    expect((await llmfs("regen", `${m.dir}/a.py`)).status).toBe(0);
    expect(await m.out("cat a.py")).toBe("print(2)\n");
    // The second request of the replaced answer belongs to no file any more.
    expect((await llmfs(...any)).stderr).toMatch(/^1 removed, 2 kept/);
    expect(await llmfs(...replay, "--", "cat", "a.py")).toMatchObject({ status: 0, stdout: "print(2)\n" });
    expect(m.server.requests).toHaveLength(4);
  });
});
