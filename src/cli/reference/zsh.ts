import type { Flag, Surface, Value } from "./surface.ts";

export function zshCompletion(commands: readonly Surface[]): string {
  const described = commands.flatMap(({ names, summary }) => names.map((name) => quote(`${name}:${summary}`)));
  return `#compdef llmfs
# zsh completion for llmfs; to load it: source <(llmfs completions zsh)
_llmfs() {
    local curcontext=$curcontext state line
    local -a commands
    typeset -A opt_args
    commands=(
        ${[...described, quote("help:Show help")].join("\n        ")}
    )
    _arguments -C \\
        '(- *)'{-h,--help}'[show help]' \\
        '(- *)'{-V,--version}'[show the version]' \\
        '1: :->command' \\
        '*:: :->arguments'
    case $state in
        command)
            _describe -t commands command commands
            _directories ;;
        arguments)
            case $words[1] in
                help) _describe -t commands command commands ;;
${commands.map(caseOf).join("\n")}
            esac ;;
    esac
}
if [[ $funcstack[1] == _llmfs ]]; then
    _llmfs "$@"
else
    compdef _llmfs llmfs
fi
`;
}

function caseOf({ names, flags, positionals, rest }: Surface): string {
  const specs = [
    ...flags.map(flagSpec),
    ...positionals.map(({ name, value }, index) => quote(`${index + 1}:${name}:${action(value)}`)),
    ...(rest === "files" ? [quote("*:file:_files")] : []),
    ...(rest === "command" ? [quote("*:::command:_normal")] : []),
  ];
  return `                ${names.join("|")})\n                    _arguments -s -S \\\n                        ${specs.join(" \\\n                        ")} ;;`;
}

/** For example '(-F --prompt)'{-F+,--prompt=}'[describe the tree]:TEXT|FILE:_files'. */
function flagSpec({ spellings, description, hint, value }: Flag): string {
  const mark = (spelling: string) => (value === undefined ? "" : spelling.startsWith("--") ? "=" : "+");
  const marked = spellings.map((spelling) => `${spelling}${mark(spelling)}`);
  const names = marked.length === 1 ? (marked[0] ?? "") : `{${marked.join(",")}}`;
  const excluded = quote(`(${spellings.join(" ")})`);
  const text = `[${description.replace(/[\\[\]]/g, "\\$&")}]`;
  const taken = value === undefined ? "" : `:${(hint ?? "").replaceAll(":", "\\:")}:${action(value)}`;
  return `${excluded}${names}${quote(text + taken)}`;
}

function action(value: Value): string {
  if (value === "file") return "_files";
  return value === "text" ? " " : `(${value.words.join(" ")})`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
