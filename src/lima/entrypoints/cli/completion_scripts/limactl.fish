# fish completion for limactl: limactl completion fish | source

function __limactl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($words[1] @COMPLETE@ $words[2..-1] "$current" 2>/dev/null)
    or return
    set -l directive (string sub -s 2 -- $found[-1])
    set -e found[-1]
    for candidate in $found
        echo $candidate
    end
    # neither 4 nor 6: file names are welcome
    if not contains -- "$directive" 4 6
        __fish_complete_path "$current"
    end
end

complete -c limactl -e
complete -c limactl -f -a '(__limactl_complete)'
