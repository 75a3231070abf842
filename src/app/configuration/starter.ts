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
    'Settings of llmfs, for every command in this directory. "llmfs config" shows which settings apply, and where each one',
    "comes from; docs/configuration.md lists all keys. Flags and environment variables override this file. Relative paths",
    "start from the directory of this file.",
  ],
  prompt: ["A description of the tree, which a model lays out when you mount. Remove the comment sign to use it."],
  model: [
    "The model and its server. By default, OpenAI's server is used with OPENAI_API_KEY, or else a server on this machine.",
    `A header may refer to an environment variable, so that this file contains no key.`,
  ],
  recordings: ["The folder of recorded answers. If you commit it, generating the same files again costs nothing."],
  limit: ["Never send more requests than this to a model."],
  rules: ["Which generator makes which files; docs/generators.md has the details. The model makes all other files."],
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
