# Completion of linode-coder for fish. Load it: linode-coder completion fish | source
function __linode_coder_complete
    set -l words (commandline -opc)
    set -l lines (command linode-coder __complete fish $words[2..-1] (commandline -ct) 2>/dev/null)
    if test "$lines[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $lines
    end
end
complete -c linode-coder -f -a '(__linode_coder_complete)'
