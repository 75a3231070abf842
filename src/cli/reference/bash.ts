import type { Surface } from "./surface.ts";

/** Needs bash alone, not the package bash-completion. It runs nothing that was typed. */
export function bashCompletion(commands: readonly Surface[]): string {
  const names = commands.flatMap((one) => one.names);
  return `# bash completion for llmfs; to load it: source <(llmfs completions bash)
_llmfs() {
    local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} flags= values= first= i
    # In --flag=value, bash takes the equals sign for a word of its own.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=\${COMP_WORDS[COMP_CWORD-2]}
    fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "${[...names, "help"].join(" ")} --help --version" -- "$cur"))
        return
    fi
    # Readline completes the names of files if COMPREPLY stays empty.
    for ((i = 2; i < COMP_CWORD; i++)); do
        [[ \${COMP_WORDS[i]} == -- ]] && return
    done
    case \${COMP_WORDS[1]} in
        help)
            compopt +o default 2>/dev/null
            COMPREPLY=($(compgen -W "${names.join(" ")}" -- "$cur"))
            return ;;
${commands.map(caseOf).join("\n")}
        *) return ;;
    esac
    if [[ $values == file && $cur != -* ]]; then
        return
    elif [[ $values == text ]]; then
        compopt +o default 2>/dev/null
    elif [[ -n $values && $values != file ]]; then
        compopt +o default 2>/dev/null
        COMPREPLY=($(compgen -W "$values" -- "$cur"))
    elif [[ $cur == -* ]]; then
        compopt +o default 2>/dev/null
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ -n $first ]] && ((COMP_CWORD == 2)); then
        compopt +o default 2>/dev/null
        COMPREPLY=($(compgen -W "$first" -- "$cur"))
    fi
}
complete -o default -F _llmfs llmfs
`;
}

function caseOf({ names, flags, positionals }: Surface): string {
  const first = positionals[0]?.value;
  const values = flags.flatMap(({ spellings, value }) => {
    if (value === undefined) return [];
    const words = typeof value === "string" ? value : value.words.join(" ");
    return [`                ${spellings.join("|")}) values="${words}" ;;`];
  });
  return [
    `        ${names.join("|")})`,
    `            flags="${flags.flatMap(({ spellings }) => spellings).join(" ")}"`,
    ...(typeof first === "object" ? [`            first="${first.words.join(" ")}"`] : []),
    ...(values.length === 0 ? [] : ["            case $prev in", ...values, "            esac"]),
    "            ;;",
  ].join("\n");
}
