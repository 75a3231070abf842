/**
 * Generates docs/cli.md from the data of `--help` and the exit statuses, docs/attributes.md from the table that setxattr(2)
 * checks, and docs/configuration.md from the table of settings.
 *
 *   bun build/manual.ts          writes them
 */
import { join } from "node:path";
import { VARIABLES } from "../src/app/settings/environment.ts";
import { kebabCase, keyOf, NOT_SETTINGS, rowOf, SETTING_NAMES } from "../src/app/settings/table.ts";
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

\`npm run docs\` generates this page from the program itself; a test compares the two.

- Results go to standard output; progress, warnings and errors go to standard error.
- Control characters in names, answers and errors are printed as \`\\u001b\`, so that they cannot control your terminal.
  \`cat\`, \`diff\`, \`save DIR -\`, \`generate\` and \`generators test\` write contents unchanged, unless they go to a terminal.
- Write the value of a flag after a space or an equals sign: \`--size 512M\`, \`--size=512M\`. \`--\` ends the flags.
- Unknown flags, extra arguments, missing values and repeated flags are errors, reported before anything is done.
- \`llmfs DIR …\` is short for \`llmfs mount DIR …\`, unless DIR does not exist and resembles a command;
  \`llmfs help COMMAND\` is the same as \`llmfs COMMAND --help\`.
- The path of a file in a snapshot begins with the name of the snapshot: \`tree.json/src/main.c\`.
- A number without a unit means seconds or bytes: \`--timeout 90\`, \`--size 1048576\`.

## Text or file

Some flags take \`TEXT|FILE\`:

- \`-\` is standard input, and \`@NAME\` is the file NAME;
- the name of an existing file is that file;
- a word that looks like the name of a file (it has a slash, or ends in \`.md\`, \`.txt\` or the like) but is not one is an
  error, not a prompt. To use it as text, add a second word, or pass it on standard input;
- anything else is the text itself.
`;

export const CONFIGURATION_PAGE = join(import.meta.dir, "../docs/configuration.md");

export function configurationPage(): string {
  const rows = SETTING_NAMES.map((name) => {
    const { variable, description } = rowOf(name);
    const value = description.replace(/\|/g, "\\|");
    return `| \`${keyOf(name)}\` | \`--${kebabCase(name)}\` | ${variable === undefined ? "" : `\`${variable}\``} | ${value} |`;
  });
  const others = Object.entries(NOT_SETTINGS).map(([name, reason]) => `| \`--${kebabCase(name)}\` | ${reason} |`);
  return `${SETTINGS_HEAD}\n${rows.join("\n")}\n${SETTINGS_OTHERS}\n${others.join("\n")}\n${SETTINGS_TAIL}`;
}

const SETTINGS_HEAD = `# Configuration

A configuration file contains settings that you would otherwise give to every command as flags. It also says which generators make
which files ([generators.md](generators.md)). Begin with these commands:

\`\`\`sh
llmfs init
llmfs config
\`\`\`

\`init\` writes \`llmfs.config.yaml\`, with comments, and an example of a prompt. With \`--format ts\` or \`--format json\` it writes the
configuration in that format. \`config\` shows the settings that apply, and where each value comes from: a flag, an environment
variable, a line of a file, or the default. It checks everything in the configuration that a mount would check: values, generators,
rules, the snapshot to start from, and whether files can be written.

\`\`\`yaml
# llmfs.config.yaml
prompt: prompt.md
model: gpt-6.1-terra
recordings: recordings
max-usd: 2
concurrency: 8
headers:
  X-Team: data
rules:
  - match: VERSION
    generator: exec
    options: { command: [git, describe, --always] }
\`\`\`

\`\`\`ts
// llmfs.config.ts
import { defineConfig } from "llmfs";

export default defineConfig({
  prompt: "prompt.md",
  maxUsd: 2,
  rules: [{ match: "VERSION", generator: "exec", options: { command: ["git", "describe", "--always"] } }],
});
\`\`\`

## Which value is used

llmfs looks for the value of a setting in these places. The first one that has a value is used:

1. the flag;
2. its environment variable;
3. the project's configuration: the file that \`--config\` names, or else \`llmfs.config.ts\`, \`.js\`, \`.json\`, \`.yaml\`, \`.yml\` or
   \`.toml\` in the current directory;
4. your own configuration: \`config.*\` in \`~/.config/llmfs\` (\`$XDG_CONFIG_HOME/llmfs\`);
5. the default.

- Each setting is looked up on its own, so a file does not have to repeat the settings of another. Headers from all places are sent;
  if two have the same name, the first in this order is sent. Generators and rules come from the first file that has any.
- A command uses only those settings of a file that it also takes as flags.
- To turn off a switch that a file turns on, use for example \`--read-only=false\`.
- \`prompt\` and \`from\` exclude each other: if both are set, the one from the earlier place is used.
- \`--config none\` ignores all files.
- A running mount keeps the settings that it was started with.

## Writing a configuration

- Keys are the names of the flags. In TypeScript and JavaScript, they may also be written as identifiers: \`maxUsd\` for \`max-usd\`.
- Numbers may be written as numbers. Switches are \`true\` or \`false\`. Settings that take several values separated by commas, such as
  \`price\`, may be lists. JSON may have comments.
- Relative paths, including those of prompts, start from the directory of the file.
- In \`base-url\`, \`headers\` and \`recordings\`, \`\${NAME}\` stands for an environment variable, so that the file contains no secret. If
  the variable is not set, llmfs reports an error only when it needs the value: a replay, for example, needs no headers.
- The API key is not a setting. Set the variable \`OPENAI_API_KEY\`, or name another variable in \`headers\`.
- Errors in a file name the file, the line and the key, and for a misspelt key the most similar one. A key that is given twice
  is an error in JSON, YAML and TOML.
- \`llmfs config --schema\` prints a JSON Schema. Save it and name it in \`$schema\`; editors then complete and check JSON and YAML.

## Trust

A configuration can run programs, and a \`base-url\` in it receives your key. So llmfs uses a configuration that it finds in the
current directory only after you have trusted it, even if it contains nothing but settings: see
[the command line](cli.md#configuration-files). A configuration inside an llmfs mount is never used.

## Settings

\`npm run docs\` generates this table from the program; a test compares the two.

| key | flag | variable | meaning |
|---|---|---|---|`;

const SETTINGS_OTHERS = `
The other flags are not settings. The table says why:

| flag | it |
|---|---|`;

const SETTINGS_TAIL = "";

const CONFIGURATION = `## Configuration files

Settings can also be in a file instead of flags: see [configuration.md](configuration.md). Commands with \`--config\` load the
configuration that it names, or \`llmfs.config.ts\`, \`.js\`, \`.json\`, \`.yaml\`, \`.yml\` or \`.toml\` in the current directory. For settings
that are not in it, they load \`config.*\` in \`~/.config/llmfs\`. They print the paths to standard error.

A configuration can do whatever you can. Even in YAML, JSON and TOML, its rules can run programs (\`exec\`), send requests to any
server (\`http\`, \`sql\`), and use the value of any environment variable, such as \`\${OPENAI_API_KEY}\`. A \`base-url\` receives your key,
and \`.ts\` and \`.js\` files are programs.

- A configuration in the current directory is used only if you trust it, because it may have come with a download. On a terminal,
  llmfs shows it and asks. \`llmfs trust\` trusts it in advance, until its content changes. Elsewhere the command ends with
  status 84: in CI, name the file with \`--config\`, or list directories in \`LLMFS_TRUST\`.
- A file that changes while you read it, or while a mount uses it, is not run: generating then fails until you trust it again. Other
  users cannot trust it for you: llmfs does not use a list of trusted files (\`~/.local/state/llmfs/trusted\`) that they can change.
- \`--config none\` ignores all configurations. A file that \`--config\` names, or that is in \`~/.config/llmfs\`, needs no trust.
- A configuration inside an llmfs mount is never used. If it is found there, llmfs ignores it with a warning; if you name it,
  that is an error (status 84). This includes symlinks, bind mounts and overlays of a mount, and files that a configuration imports.
- For a running mount, \`plan\`, \`context\` and \`why\` get the rules from the mount, without loading the configuration.
- \`warm\`, \`regen\`, \`save\`, \`unmount\`, \`list\`, \`status\` and \`demo\` do not use a configuration.
`;

const ENVIRONMENT = `## Environment

A flag overrides its variable. An empty variable counts as not set. The exception is \`LLMFS_RECORDINGS_KEY\`: if it is empty, llmfs
reports an error, so that a missing secret does not turn off the check of signatures.

| variable | meaning |
|---|---|`;

const RUNTIME_VARIABLES = `
The executable contains the runtime [Bun](https://bun.com). Its own variables, such as \`BUN_OPTIONS\` and
\`BUN_CONFIG_VERBOSE_FETCH\`, have no effect on llmfs, and neither has \`NODE_TLS_REJECT_UNAUTHORIZED\`: to trust your own
certificate authority, name its file in \`NODE_EXTRA_CA_CERTS\`. The only exception is \`BUN_BE_BUN=1\`, which makes the
executable behave as Bun instead of llmfs. Commands that \`run\` starts get all variables unchanged.
`;

const STATUSES = `## Exit statuses

Scripts can rely on them. Failures of llmfs itself start at 80, because \`run\` returns the status of its command.

| status | meaning |
|---|---|`;

const ATTRIBUTES_HEAD = `# Extended attributes

What llmfs knows about a file is in its extended attributes, so that \`getfattr\`, \`setfattr\`, \`cp -a\` and \`tar --xattrs\` work
on it:

\`\`\`sh
getfattr -d -m user.llmfs FILE
setfattr -n user.llmfs.model -v NAME DIR
\`\`\`

\`npm run docs\` generates this page from the table that the filesystem uses to check values; a test compares the two.

| attribute | on | set by | meaning |
|---|---|---|---|`;

const ATTRIBUTES_TAIL = `
- "The nearest value applies" means the file's own value, else that of the nearest directory above that sets one.
- A value that cannot be used is rejected with EINVAL. An empty value counts as no value.
- Any other name below \`user.llmfs.\` is kept and has no effect. If it looks like a misspelling, the log says so.
- On a mount that others can use (\`--allow-other\`), not everybody may set everything: see
  [Several users](context.md#several-users).
`;

if (import.meta.main) {
  await Bun.write(MANUAL, await manual());
  await Bun.write(ATTRIBUTES_PAGE, attributesPage());
  await Bun.write(CONFIGURATION_PAGE, configurationPage());
}
