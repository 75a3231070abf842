/**
 * docs/cli.md, from the same data that makes `--help` and the exit statuses, and docs/attributes.md, from the table that
 * setxattr(2) goes by.
 *
 *   bun build/manual.ts          writes both
 */
import { join } from "node:path";
import { VARIABLES } from "../src/app/settings/environment.ts";
import { ATTRIBUTES, OURS } from "../src/attributes.ts";
import { formatCommandHelp } from "../src/cli/args/help.ts";
import { COMMANDS } from "../src/cli/llmfs.ts";
import { EXIT } from "../src/cli/output/exit-codes.ts";

export const MANUAL = join(import.meta.dir, "../docs/cli.md");

export const ATTRIBUTES_PAGE = join(import.meta.dir, "../docs/attributes.md");

export function attributesPage(): string {
  const rows = Object.entries(ATTRIBUTES).map(
    ([name, { on, by, meaning }]) => `| \`${OURS}${name}\` | ${on} | ${by} | ${meaning} |`,
  );
  return `${ATTRIBUTES_HEAD}\n${rows.join("\n")}\n${ATTRIBUTES_TAIL}`;
}

export async function manual(): Promise<string> {
  const parts = [INTRODUCTION];
  for (const [name, { summary, load }] of COMMANDS) {
    parts.push(`## llmfs ${name}\n\n\`\`\`text\n${formatCommandHelp(name, summary, await load())}\`\`\`\n`);
  }
  parts.push(CONFIGURATION);
  const variables = Object.entries(VARIABLES).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`);
  parts.push(`${ENVIRONMENT}\n${variables.join("\n")}\n${RUNTIME_VARIABLES}`);
  const statuses = Object.values(EXIT).map(({ code, meaning }) => `| ${code} | ${meaning} |`);
  parts.push(`${STATUSES}\n${statuses.join("\n")}\n`);
  return parts.join("\n");
}

const INTRODUCTION = `# The command line

This page is written by \`npm run docs\` from the program itself; a test compares the two.

- The result goes to standard output, the talk to standard error.
- Control characters in names, answers and errors are printed as \`\\u001b\`, so that no terminal obeys them. \`save DIR -\`,
  \`generate\` and \`generators test\` write their result unchanged, unless it goes to a terminal.
- A flag's value follows it, or an equals sign: \`--size 512M\`, \`--size=512M\`. \`--\` ends the flags.
- Unknown flags, surplus arguments, missing values and repeated flags are errors, before anything is done.
- \`llmfs DIR …\` is short for \`llmfs mount DIR …\`; \`llmfs help COMMAND\` shows what \`llmfs COMMAND --help\` does.
- A bare number is seconds where a time is asked for, and bytes where a size is: \`--timeout 90\`, \`--size 1048576\`.

## Text or file

Where \`TEXT|FILE\` is asked for: \`-\` is standard input; \`@NAME\` is the file NAME; the name of an existing file is that
file; what has no blank in it and a slash, or ends in \`.md\`, \`.txt\` or the like, and is no file, is an error; everything
else is the text.
`;

const CONFIGURATION = `## Configuration files

\`mount\`, \`run\` and \`generators test\` load the configuration of generators that \`--config\` names, or the one in the current
directory, and print its path to standard error. A configuration can do whatever you can: in YAML, JSON and TOML, too, its
rules run programs (\`exec\`), send requests to any server (\`http\`, \`sql\`), and get the value of any environment variable, such
as \`\${OPENAI_API_KEY}\`; \`.ts\` and \`.js\` files are programs themselves. Do not start llmfs in a directory you do not trust
without \`--config none\`.

- A configuration that lies in an llmfs mount is never used: found there, it is passed over with a warning; named, it is an
  error (84). This includes symlinks, bind mounts and overlays of a mount, and what a configuration imports.
- \`plan\`, \`context\`, \`why\`, \`generators\` and \`recordings prune\` run no code. They read a YAML, JSON or TOML file in the
  current directory; a \`.ts\` or \`.js\` file only if \`--config\` names it, and then they run it.
- \`warm\`, \`regen\`, \`save\`, \`unmount\`, \`generate\` and \`demo\` use no configuration.
`;

const ENVIRONMENT = `## Environment

A flag wins over its variable. An empty variable counts as not set.

| variable | meaning |
|---|---|`;

const RUNTIME_VARIABLES = `
The executable contains the runtime [Bun](https://bun.com). Its own variables, such as \`BUN_OPTIONS\` and
\`BUN_CONFIG_VERBOSE_FETCH\`, have no effect on llmfs, and neither has \`NODE_TLS_REJECT_UNAUTHORIZED\`: to trust a
certificate authority of your own, name its file in \`NODE_EXTRA_CA_CERTS\`. Commands started by \`run\` get all variables
unchanged. The only exception is \`BUN_BE_BUN=1\`, which makes the executable be Bun instead of llmfs.
`;

const STATUSES = `## Exit statuses

They are a promise. The failures of llmfs itself lie from 80 up, because \`run\` returns the status of the command it ran.

| status | meaning |
|---|---|`;

const ATTRIBUTES_HEAD = `# Extended attributes

What llmfs knows about a file is in its extended attributes, so that \`getfattr\`, \`setfattr\`, \`cp -a\` and \`tar --xattrs\` work
on it:

\`\`\`sh
getfattr -d -m user.llmfs FILE
setfattr -n user.llmfs.model -v NAME DIR
\`\`\`

This page is written by \`npm run docs\` from the table that the filesystem checks values by; a test compares the two.

| attribute | on | set by | meaning |
|---|---|---|---|`;

const ATTRIBUTES_TAIL = `
- "The nearest counts" means the file's own value, else that of the nearest directory above that sets one.
- A value that cannot be used is rejected with EINVAL. An empty value counts as no value.
- Any other name below \`user.llmfs.\` is kept and has no effect. If it looks like a misspelling, the log says so.
- On a mount that others can use (\`--allow-other\`), not everybody may set everything: see
  [Several users](context.md#several-users).
`;

if (import.meta.main) {
  await Bun.write(MANUAL, await manual());
  await Bun.write(ATTRIBUTES_PAGE, attributesPage());
}
