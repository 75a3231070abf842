/** What models and their servers leave around an answer, and files about exactly that. */
import { describe, expect, test } from "bun:test";
import { extractJson, readFileAnswer, readFileText } from "../../../src/generators/builtin/clean-answer.ts";
import { expectLinear } from "../../support/growth.ts";
import { Random } from "../../support/random.ts";

const PY = "import os\n\n\ndef main():\n    print(os.getcwd())\n";

/** Answers from servers whose model prints its reasoning: the content of /m.py is PY every time. */
const LEAKS: readonly (readonly [server: string, answer: string])[] = [
  ["DeepSeek R1", `<think>\nOkay, I need a module.\n</think>\n\n${PY}`],
  ["Qwen3 without thinking", `<think>\n\n</think>\n\n${PY}`],
  ["GLM, in a line", `<think>a module</think>${PY}`],
  ["thoughts that speak of the mark", `<think>\nI must close </think> myself. So:\nprint it\n</think>\n${PY}`],
  ["thoughts ended by another mark", `<thinking>\nHm.\n</think>\n${PY}`],
  ["capital letters", `<THINK>\nHm.\n</Think>\n${PY}`],
  ["EXAONE", `<thought>\nHm.\n</thought>\n\n${PY}`],
  ["Granite", `<reasoning>\nHm.\n</reasoning>\n\n${PY}`],
  ["Magistral", `[THINK]Hm.\nStill.[/THINK]\n${PY}`],
  ["Seed", `<seed:think>Hm.</seed:think>${PY}`],
  ["Command A", `<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>${PY}<|END_RESPONSE|>`],
  [
    "Sky-T1",
    `<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n${PY}\n<|end_of_solution|>`,
  ],
  ["Kimi", `◁think▷Hm.◁/think▷${PY}`],
  ["MedGemma", `<unused94>thought\nHm.\n<unused95>${PY}`],
  ["Gemma", `<|channel>thought\nHm.\n<channel|>${PY}`],
  ["an answer element", `<think>\nHm.\n</think>\n<answer>\n${PY}</answer>\n`],
  ["R1's template: only the end is there", `Okay, I need a module that prints.\nThat is it.\n</think>\n\n${PY}`],
  ["Qwen3's template, in the line's end", `Okay, the user wants a module.</think>\n\n${PY}`],
  ["only the end, of a Command A", `We need a module.<|END_THINKING|><|START_RESPONSE|>${PY}<|END_RESPONSE|>`],
  ["only the end, of a few words", `Simple.\n</think>\n\n${PY}`],
  ["only the end, after a list", `1. **Analyze the request:** a module\n2. **Write it.**\n</think>\n\n${PY}`],
  ["only the end, of an EXAONE", `Let me see what is needed.\n</thought>\n\n${PY}`],
  ["only the end, of a Magistral", `I should write a module.[/THINK]\n${PY}`],
  [
    "only the end, after code in the thoughts",
    `We could do:\n\n\`\`\`python\nx = '''\n\`\`\`\n\nNo.\n</think>\n\n${PY}`,
  ],
  [
    "gpt-oss, all marks",
    `<|channel|>analysis<|message|>We need a module.<|end|><|start|>assistant<|channel|>final<|message|>${PY}<|return|>`,
  ],
  [
    "gpt-oss, from its beginning",
    `<|start|>assistant<|channel|>analysis<|message|>We.<|end|><|start|>assistant<|channel|>final<|message|>${PY}`,
  ],
  [
    "gpt-oss, thoughts that speak of the marks",
    `<|channel|>analysis<|message|>I use <|channel|>final and then go.<|end|><|start|>assistant<|channel|>final<|message|>${PY}<|return|>`,
  ],
  [
    "gpt-oss, a commentary",
    `<|channel|>analysis<|message|>A.<|end|><|start|>assistant<|channel|>commentary<|message|>B.<|end|><|start|>assistant<|channel|>final<|message|>${PY}`,
  ],
  ["gpt-oss, a constraint", `<|channel|>final <|constrain|>python<|message|>${PY}<|end|>`],
  ["gpt-oss, the final channel alone", `<|channel|>final<|message|>${PY}<|return|>`],
  ["gpt-oss, without its marks", `analysisWe need a module. Simple.assistantfinal${PY}`],
  ["Llama 2", `${PY}</s>`],
  ["Qwen", `${PY}<|im_end|>`],
  ["Qwen, twice", `${PY}<|im_end|>\n<|endoftext|>\n`],
  ["Llama 3", `${PY}<|eot_id|>`],
  ["Phi", `${PY}<|end|>\n`],
  ["Gemma's turn", `${PY}<end_of_turn>\n<eos>`],
  ["DeepSeek's end", `${PY}<｜end▁of▁sentence｜>`],
  ["GLM's end", `${PY}<|user|>`],
  ["a model that has run wild", PY + "<|im_end|>\n".repeat(500)],
  ["a turn's beginning", `<|im_start|>assistant\n${PY}<|im_end|>`],
  ["Llama 3's header", `<|start_header_id|>assistant<|end_header_id|>\n\n${PY}<|eot_id|>`],
  ["Llama 2, both", `<s> ${PY}</s>`],
  ["thoughts, a fence and an end", `<think>\nHm.\n</think>\n\`\`\`python\n${PY}\`\`\`<|im_end|>`],
  ["a blank before it", ` ${PY}`],
  ["empty lines before it", `\n\n${PY}`],
];

describe("a Python file gets its content and nothing else, from", () => {
  test.each(LEAKS)("%s", (_, answer) => {
    expect(readFileAnswer(answer, "/m.py")).toEqual({ text: PY });
  });
});

describe("a layout's JSON is found, from", () => {
  const json = '{"directories":[],"files":[{"path":"a","description":"{}"}]}';
  test.each(LEAKS)("%s", (_, answer) => {
    expect(extractJson(answer.replaceAll(PY, json))).toBe(json);
  });
});

describe("a page of prose gets its content and nothing else, from", () => {
  const text = "# Tides\n\nTwo a day, see <https://example.com>.\n";
  // One blank before prose may be intended.
  test.each(LEAKS.filter(([server]) => server !== "a blank before it" && server !== "Llama 2, both"))(
    "%s",
    (_, answer) => {
      // A fence with "python" would be content there, and the end of thoughts has to be on a line of its own.
      const page = answer.replaceAll("```python", "```markdown").replace("module.</think>", "module.\n</think>");
      expect(readFileAnswer(page.replace("module.[/", "module.\n[/").replaceAll(PY, text), "/README.md")).toEqual({
        text,
      });
    },
  );
});

describe("thoughts without an answer make no file:", () => {
  for (const answer of [
    "<think>\nHm.\n</think>\n",
    "<think>\nHm",
    "<thinking>Let me",
    "Let me see what is needed.\n</think>\n\n",
    "[THINK]Hm.[/THINK]",
    "<|START_THINKING|>Hm",
    "<|channel|>analysis<|message|>Hm.<|end|>",
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|><|return|>",
    "<think>\nHm.\n</think>\n<|im_end|>",
    "<|im_end|>",
    "</s>",
  ]) {
    test(JSON.stringify(answer), () => {
      expect(readFileAnswer(answer, "/m.py")).toEqual({ text: "", missing: "thoughts" });
    });
  }

  test("a blank answer is recognized", () => {
    expect(readFileAnswer(" \n", "/m.py")).toEqual({ text: "", missing: "nothing" });
  });

  test("an empty fence after thoughts is an empty file", () => {
    expect(readFileAnswer("<think>\nEmpty.\n</think>\n```\n```\n", "/py.typed")).toEqual({ text: "" });
  });
});

/** Files that legitimately contain such markers. */
const CONTENTS: readonly (readonly [what: string, path: string, text: string])[] = [
  [
    "a page on <think>",
    "/docs/reasoning.md",
    "# Reasoning\n\nR1 writes `<think>` and `</think>` around it:\n\n```\n<think>\nhm\n</think>\n\nanswer\n```\n",
  ],
  ["a page that begins with the word", "/notes.txt", "<think> is a tag.\n"],
  [
    "a page that shows only the end",
    "/docs/vllm.md",
    "# Without a parser\n\n```text\nsome thoughts\n</think>\n\nanswer\n```\n\nThat is all.\n",
  ],
  [
    "Qwen3's chat template",
    "/chat_template.jinja",
    "{%- if '</think>' in content %}\n{%- set reasoning = content.split('</think>')[0].split('<think>')[-1] %}\n{%- endif %}\n{{- '<|im_start|>assistant\\n' }}\n",
  ],
  [
    "a ChatML conversation",
    "/data/sample.txt",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
  ],
  [
    "a Llama 3 conversation",
    "/data/llama.txt",
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>\n",
  ],
  [
    "a Gemma conversation",
    "/data/gemma.txt",
    "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n",
  ],
  ["a corpus of documents", "/data/corpus.txt", "One.<|endoftext|>\nTwo.<|endoftext|>\nThree.<|endoftext|>\n"],
  ["a list of tokens", "/tokens.txt", "<pad>\n<unk>\n<bos>\n<eos>\n"],
  ["another list of tokens", "/special.txt", "<|pad|>\n<|endoftext|>\n"],
  [
    "a tokenizer's configuration",
    "/tokenizer_config.json",
    '{\n  "bos_token": "<|im_start|>",\n  "eos_token": "<|im_end|>",\n  "additional": ["</s>", "<think>", "</think>"]\n}\n',
  ],
  [
    "the code of a parser",
    "/parser.py",
    'OPEN = "<think>"\nCLOSE = "</think>"\n\n\ndef split(text):\n    """Splits\n    </think>\n    off."""\n    return text.split(CLOSE)\n',
  ],
  [
    "a test of a parser",
    "/test_parser.py",
    'ANSWER = """some thoughts\n</think>\n\nanswer"""\n\n\ndef test():\n    assert ANSWER\n',
  ],
  ["the code of a template", "/template.ts", "export const END = `thoughts\n</think>\n`;\n"],
  ["a comment that ends with a mark", "/stop.yaml", 'stop: ["<s>", "</s>"]\n# in the order of <s> and </s>\n'],
  [
    "code with the token of a parser",
    "/tokens.py",
    'START = "<|begin_of_thoughts|>"\nEND = "<|end_of_thought|>"\nKIMI = "◁/think▷"\n',
  ],
  ["a page with a token in a line", "/kimi.md", "# Kimi\n\nIts thoughts end with ◁/think▷ and an answer follows.\n"],
  ["struck text", "/page.html", "<p>New price: <s>10</s>\n"],
  ["struck text in Markdown", "/page.md", "It costs <s>ten</s>\n"],
  ["an element of that name", "/mind.xml", "<think>\n  <about>tides</about>\n</think>\n"],
  ["a root of that name", "/case.xml", "<reasoning>\n  <step/>\n</reasoning>\n<!-- end -->\n"],
  ["a component of that name", "/Page.vue", "<thought>\n  hi\n</thought>\n<!-- end -->\n"],
  ["an answer element", "/quiz.xml", "<answer>\n  42\n</answer>\n"],
  ["a page on analysis", "/analysis.md", "analysis of the tides\n\nThe assistantfinal word is a joke.\n"],
  [
    "a page on harmony",
    "/harmony.md",
    "# Harmony\n\nMessages begin with `<|start|>` and name a `<|channel|>`:\n\n    <|channel|>final<|message|>Hi<|return|>\n\nThat is all.\n",
  ],
  ["a letter with a signature in tags", "/song.txt", "[Verse]\nla la\n[/Verse]\n"],
];

describe("a file about reasoning markers keeps them:", () => {
  test.each(CONTENTS)("%s", (_, path, text) => {
    expect(readFileAnswer(text, path)).toEqual({ text });
  });

  test.each(CONTENTS)("%s, after thoughts and before an end marker", (_, path, text) => {
    // In markup, the text after thoughts has to be a document, and a list of tokens may have one more.
    if (/\.(xml|vue|html)$|tokens\.txt|special\.txt/.test(path)) return;
    expect(readFileText(`<think>\nOkay, a file.\n</think>\n\n${text}<|eom_id|>`, path)).toBe(text);
    expect(
      readFileText(
        `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>${text}<|return|>`,
        path,
      ),
    ).toBe(text);
  });
});

test("thoughts end at their own marker, not at one in the content", () => {
  const text = 'X = """\n</think>\n"""\n';
  expect(readFileText(`<think>a string</think>${text}`, "/m.py")).toBe(text);
  expect(readFileText(`<think>\na string\n</think>\n${text}`, "/m.py")).toBe(text);
});

test("a markup document loses the thoughts before it, and keeps an element of the same name", () => {
  const page = "<!doctype html>\n<think>hm</think>\n";
  expect(readFileText(`<think>\nA page.\n</think>\n\n${page}`, "/i.html")).toBe(page);
  expect(readFileText(`A page is wanted.\n</think>\n\n${page}`, "/i.html")).toBe(page);
});

test("whatever a model puts around random content is removed, and nothing else", () => {
  const lines = [
    "x = 1",
    "    return </think>",
    '"<think>"',
    "",
    "# text about <|im_end|> and </s> in a line",
    "print('[THINK]')",
    "<answer>42</answer> is a string",
    "\tindented",
    "ünïcödé İ ◁think▷",
    "assistantfinal",
    "<|channel|>final",
  ];
  const around: readonly ((text: string) => string)[] = [
    (text) => text,
    (text) => `<think>\nOkay, so İ think\nabout it.\n</think>\n\n${text}`,
    (text) => `[THINK]Hm.[/THINK]\n${text}`,
    (text) => `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>${text}<|return|>`,
    (text) => `${text}<|eot_id|>`,
    (text) => `${text}<|im_end|>\n<|endoftext|>`,
    (text) => `\n\n${text}`,
    (text) => `\`\`\`\`\`python\n${text}\`\`\`\`\``,
    (text) => `Here is the file:\n\n\`\`\`\`\`python\n${text}\`\`\`\`\`\n\nIt does that.\n`,
  ];
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    // The edges are not tested here.
    const middle = Array.from({ length: random.below(8) }, () => random.pick(lines));
    const content = `first = 1\n${middle.join("\n")}\nlast = 2\n`;
    for (const [index, wrap] of around.entries()) {
      expect([seed, index, readFileText(wrap(content), "/m.py")]).toEqual([seed, index, content]);
    }
  }
});

test("any answer is parsed in linear time", async () => {
  const pieces = [
    "<think>",
    "</think>",
    "</think>\n",
    "<|im_end|>",
    "<|im_end|>\n",
    "</s>",
    "<s>",
    "<|channel|>final",
    "<|channel|>final<|message|>",
    "<|start|>assistant<|channel|>",
    "<|endoftext|> ",
    "```\n",
    "```python\n",
    "`",
    "~~~\n\n",
    '"""',
    "'''\n",
    "/*",
    "<!--",
    "<<A\n",
    "\n",
    " ",
    " \n",
    "\t",
    "a",
    "Hm. ",
    "x = 1\n",
    "İ",
    "[/THINK]",
  ];
  const starts = [
    "",
    "<think>\n",
    "<|channel|>",
    "analysis:",
    "Okay, the user wants it.\n",
    "```python\n",
    "<|im_start|>assistant\n",
  ];
  for (const path of ["/m.py", "/README.md", "/i.html"]) {
    for (const start of starts) {
      for (const piece of pieces) {
        const answer = (length: number) => start + piece.repeat(Math.ceil(length / piece.length));
        await expectLinear(answer, (text) => readFileAnswer(text, path));
      }
    }
  }
});
