#compdef linode-coder
# Completion of linode-coder for zsh. Load it, after compinit: source <(linode-coder completion zsh)
_linode_coder() {
    local -a lines candidates
    local line
    lines=("${(@f)$(command linode-coder __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${lines[1]}" == ":files" ]]; then
        _files
        return
    fi
    for line in "${lines[@]}"; do
        [[ -n "$line" ]] && candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe 'linode-coder' candidates
}
compdef _linode_coder linode-coder
