/** The configuration that `llmfs init` writes, in each format, and the example beside it. */

export const FORMATS = ["yaml", "ts", "json"] as const;
export type StarterFormat = (typeof FORMATS)[number];

export const PROMPT_FILE = "prompt.md";

export const PROMPT = `A command-line to-do list in TypeScript for Node: a small module for the list, one for the command line, tests for
both, and a README that shows every command.
`;

/** One for all formats, so that they say the same. The prompt is commented out, so that mounting needs no model. */
const NOTES = {
  head: [
    'Settings of llmfs, for every command in this directory. "llmfs config" shows what is in force, and where it comes',
    "from; docs/configuration.md lists all keys. Flags and environment variables count before this file. Paths start from",
    "its directory.",
  ],
  prompt: ["The tree, described for a model, which lays it out when you mount. Remove the comment sign to use it."],
  model: [
    "The model and its server. Without these, the key in OPENAI_API_KEY is used, or a server that runs on this machine.",
    `A header may refer to a variable, so that no key is in this file.`,
  ],
  recordings: ["Recorded answers. Commit them, and the same files cost nothing again."],
  limit: ["Never send more requests than this to a model."],
  rules: ["Which generator makes which files; docs/generators.md describes them. All others are written by the model."],
} as const;

function comment(sign: string, lines: readonly string[], indent = ""): string {
  return lines.map((line) => `${indent}${sign} ${line}\n`).join("");
}

const YAML = `${comment("#", NOTES.head)}
${comment("#", NOTES.prompt)}# prompt: ${PROMPT_FILE}

${comment("#", NOTES.model)}# model: gpt-6.1-terra
# base-url: http://127.0.0.1:11434/v1
# headers:
#   Authorization: Bearer \${MY_KEY}

${comment("#", NOTES.recordings)}recordings: recordings

${comment("#", NOTES.limit)}max-calls: 500

${comment("#", NOTES.rules)}rules:
  - match: hello.txt
    generator: template
    options:
      text: |
        Hello from {{ path }}.
`;

const JSON_TEXT = `{
${comment("//", NOTES.head, "  ")}
${comment("//", NOTES.prompt, "  ")}  // "prompt": "${PROMPT_FILE}",

${comment("//", NOTES.model, "  ")}  // "model": "gpt-6.1-terra",
  // "base-url": "http://127.0.0.1:11434/v1",
  // "headers": { "Authorization": "Bearer \${MY_KEY}" },

${comment("//", NOTES.recordings, "  ")}  "recordings": "recordings",

${comment("//", NOTES.limit, "  ")}  "max-calls": 500,

${comment("//", NOTES.rules, "  ")}  "rules": [
    {
      "match": "hello.txt",
      "generator": "template",
      "options": { "text": "Hello from {{ path }}.\\n" }
    }
  ]
}
`;

const TS = `import { defineConfig } from "llmfs";

${comment("//", NOTES.head)}export default defineConfig({
${comment("//", NOTES.prompt, "  ")}  // prompt: "${PROMPT_FILE}",

${comment("//", NOTES.model, "  ")}  // model: "gpt-6.1-terra",
  // baseUrl: "http://127.0.0.1:11434/v1",
  // headers: { Authorization: \`Bearer \${process.env.MY_KEY}\` },

${comment("//", NOTES.recordings, "  ")}  recordings: "recordings",

${comment("//", NOTES.limit, "  ")}  maxCalls: 500,

${comment("//", NOTES.rules, "  ")}  generators: {
    hello: {
      match: "hello.txt",
      generate: (path) => ({ content: \`Hello from \${path}.\\n\` }),
    },
  },
});
`;

export function starterText(format: StarterFormat): string {
  return { yaml: YAML, json: JSON_TEXT, ts: TS }[format];
}
