# Completion of linode-coder for bash. Load it: source <(linode-coder completion bash)
_linode_coder() {
    local IFS=$'\n'
    COMPREPLY=($(command linode-coder __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    if [[ ${COMPREPLY[0]-} == :files ]]; then
        COMPREPLY=()
        compopt -o default 2>/dev/null
    fi
}
complete -F _linode_coder linode-coder
