// Owns the scripts that make shells complete: they ask `holdfast __complete WORD…`, whose last word is the one being
// written, and fall back to files where the answer says so.

export const COMPLETE = '__complete';
/** The line that says: files, too. */
export const FILES_TOO = ':files';

const BASH = `# bash completion of holdfast, made by "holdfast completion bash".
_holdfast() {
  local line files=no words=()
  COMPREPLY=()
  # --encap=gue comes as three words; what is completed is the last of them.
  local current=\${COMP_WORDS[COMP_CWORD]}
  words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  if [[ $current == = ]]; then
    current=
    words+=('')
  fi
  while IFS= read -r line; do
    if [[ $line == '${FILES_TOO}' ]]; then
      files=yes
    elif [[ $line == "$current"* ]]; then
      COMPREPLY+=("$line")
    fi
  done < <("\${COMP_WORDS[0]}" ${COMPLETE} "\${words[@]}" 2>/dev/null)
  if [[ $files == yes && \${#COMPREPLY[@]} -eq 0 ]]; then
    compopt -o default 2>/dev/null
  fi
}
complete -F _holdfast holdfast
`;

const ZSH = `#compdef holdfast
# zsh completion of holdfast, made by "holdfast completion zsh".
_holdfast() {
  local -a found
  found=("\${(@f)$("\${words[1]}" ${COMPLETE} "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)found:#}")
  if (( \${found[(Ie)${FILES_TOO}]} )); then
    _files
    found=("\${(@)found:#${FILES_TOO}}")
  fi
  (( \${#found} )) && compadd -- "\${found[@]}"
}
if [[ \${funcstack[1]} == _holdfast ]]; then
  _holdfast "$@"
else
  compdef _holdfast holdfast
fi
`;

export function completionScript(shell: 'bash' | 'zsh'): string {
  return shell === 'bash' ? BASH : ZSH;
}
