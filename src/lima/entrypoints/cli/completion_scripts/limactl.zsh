#compdef limactl
# zsh completion for limactl: source <(limactl completion zsh), or as a file _limactl in a folder of $fpath

_limactl() {
	local line directive
	local -a found candidates options
	found=("${(@f)$("${(Q)words[1]}" @COMPLETE@ "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	(( ${#found} )) || return 1
	directive=${found[-1]#:}
	found[-1]=()
	for line in "${found[@]}"; do
		if [[ $line == *$'\t'* ]]; then
			candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
		else
			candidates+=("${line//:/\\:}")
		fi
	done
	(( directive & 2 )) && options=(-S '')
	(( ${#candidates} )) && _describe -t limactl limactl candidates "${options[@]}" && (( directive & 4 )) && return 0
	(( directive & 4 )) || _files
}

# as a file of $fpath the function is called by its name; sourced, it is made known here
if [[ ${funcstack[1]} == _limactl ]]; then
	_limactl "$@"
else
	compdef _limactl limactl
fi
