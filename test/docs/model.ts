/** The model that the examples in the documents ask: it lays out a tree that fits the prompt, and its programs work. */
import { pathOf } from "../support/mounted.ts";
import type { Behaviour, ReceivedRequest } from "../support/openai-server.ts";

/** The first is the one that llmfs chooses. */
export const MODELS = ["gpt-6.1-terra", "gpt-image-1"];

export const FILES: Readonly<Record<string, string>> = {
  Makefile: `all: todo
todo: todo.c
	cc -o $@ $<
test: todo
	test "$$(./todo)" = "nothing to do"
dist: todo
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf todo.tar todo.c && sha256sum todo.tar
`,
  "todo.c": '#include <stdio.h>\nint main(void) { return puts("nothing to do") < 0; }\n',
  "tests/test_tides.py": "from tides import level\n\n\ndef test_level():\n    assert level(0) == 0\n",
};

/** What a layout consists of, by a word of its prompt; "" is for all other prompts. */
const LAYOUTS: readonly (readonly [word: string, files: Readonly<Record<string, readonly string[]>>])[] = [
  ["to-do list", { "todo.c": [], Makefile: ["todo.c"], "README.md": ["todo.c"] }],
  ["pytest", { "tests/test_tides.py": ["/tides.py"] }],
  ["man page", { "tides.1": ["/a.md"] }],
  ["outline", { "docs/outline.md": [] }],
  ["", { "README.md": [], "a.md": ["README.md"] }],
];

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

export function answerRequest(request: ReceivedRequest, usage: Usage): Behaviour {
  const path = pathOf(request);
  if (path !== undefined) return { stream: FILES[path] ?? `The content of ${path}.\n`, usage };
  const text = JSON.stringify(request.body.messages.at(-1).content);
  const [, chosen = {}] = LAYOUTS.find(([word]) => text.includes(word)) ?? [];
  const files = Object.entries(chosen).map(([path, uses]) => ({ path, description: `the file ${path}`, uses }));
  return {
    stream: JSON.stringify({ files, directories: [], symlinks: [], executable: [], unfinished: [] }),
    usage,
  };
}
