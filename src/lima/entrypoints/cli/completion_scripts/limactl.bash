# bash completion for limactl: source <(limactl completion bash)

_limactl_complete() {
	local line word prefix directive candidate
	local -a words found=()
	COMPREPLY=()
	# the words as they are typed: COMP_WORDS is cut at colons and equals signs, which are parts of ours
	line=${COMP_LINE:0:COMP_POINT}
	read -r -a words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	word=${words[${#words[@]} - 1]}
	while IFS= read -r candidate; do
		found+=("$candidate")
	done < <("${words[0]}" @COMPLETE@ "${words[@]:1}" 2>/dev/null)
	((${#found[@]})) || return
	directive=${found[${#found[@]} - 1]#:}
	unset "found[${#found[@]}-1]"
	# bash replaces what stands behind the last colon or equals sign only
	prefix=""
	if [[ $COMP_WORDBREAKS == *:* && $word == *:* ]]; then
		prefix=${word%"${word##*:}"}
	elif [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then
		prefix=${word%"${word##*=}"}
	fi
	for candidate in "${found[@]}"; do
		candidate=${candidate%%$'\t'*}
		COMPREPLY+=("${candidate#"$prefix"}")
	done
	if type compopt &>/dev/null; then
		((directive & 2)) && compopt -o nospace
		((directive & 4)) && compopt +o default +o bashdefault
	fi
	return 0
}

complete -o bashdefault -o default -F _limactl_complete limactl
