import type { Flag, Surface } from "./surface.ts";

export function fishCompletion(commands: readonly Surface[]): string {
  const first = "test (count (commandline -opc)) -eq 1";
  const lines = commands.flatMap((one) => one.names.map((name) => completeWord(first, name, one.summary)));
  const all = commands.flatMap((one) => one.names).join(" ");
  return `# fish completion for llmfs; to load it: llmfs completions fish | source
function __llmfs_command
    set -l words (commandline -opc)
    set -q words[2]; and contains -- $words[2] $argv
end
function __llmfs_is_first_argument
    __llmfs_command $argv; and test (count (commandline -opc)) -eq 2
end
complete -c llmfs -e
complete -c llmfs -f
${lines.join("\n")}
${completeWord(first, "help", "Show help")}
complete -c llmfs -n ${quote(first)} -a '(__fish_complete_directories)'
complete -c llmfs -n ${quote(first)} -s h -l help -d 'show help'
complete -c llmfs -n ${quote(first)} -s V -l version -d 'show the version'
complete -c llmfs -n '__llmfs_command help' -a ${quote(all)}
${commands.flatMap(linesOf).join("\n")}
`;
}

function completeWord(condition: string, word: string, description: string): string {
  return `complete -c llmfs -n ${quote(condition)} -a ${word} -d ${quote(description)}`;
}

function linesOf({ names, flags, positionals, rest }: Surface): readonly string[] {
  const here = `-n ${quote(`__llmfs_command ${names.join(" ")}`)}`;
  const words = positionals.flatMap(({ value }) => (typeof value === "object" ? value.words : []));
  const files = positionals.some(({ value }) => value === "file") || rest !== undefined;
  const atFirst = `-n ${quote(`__llmfs_is_first_argument ${names.join(" ")}`)}`;
  return [
    ...flags.map((flag) => `complete -c llmfs ${here} ${flagOptions(flag)}`),
    ...(words.length === 0 ? [] : [`complete -c llmfs ${atFirst} -a ${quote(words.join(" "))}`]),
    ...(files ? [`complete -c llmfs ${here} -F`] : []),
  ];
}

function flagOptions({ spellings, description, value }: Flag): string {
  const names = spellings.map((one) => (one.startsWith("--") ? `-l ${one.slice(2)}` : `-s ${one.slice(1)}`));
  const taken =
    value === undefined
      ? []
      : value === "file"
        ? ["-r -F"]
        : value === "text"
          ? ["-x"]
          : [`-x -a ${quote(value.words.join(" "))}`];
  return [...names, ...taken, `-d ${quote(description)}`].join(" ");
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
