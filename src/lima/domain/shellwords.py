"""Words for a guest's shell. Light: on the quick path. Source: reference, cli §7.2."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


def quote_word(word: str) -> str:
    """The word as a POSIX shell reads it back."""
    if not word:
        return "''"
    if all(c in _PLAIN for c in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def remote_script(
    command: tuple[str, ...],
    *,
    shell: str,
    workdir: str = "",
    folders: tuple[str, ...] = (),
    env: tuple[tuple[str, str], ...] = (),
) -> str:
    """What ssh runs in the guest: a login shell, with the command where there is one. It begins in `workdir`, or not at
    all; without one in the first of `folders` that is there.

    Leading words with `=` are assignments: only what stands after the first `=` is quoted.
    """
    if workdir:
        change = f"cd {quote_word(workdir)} || exit 1"
    else:
        change = " || ".join(f"cd {quote_word(folder)}" for folder in folders) or "false"
    words = "env " + "".join(f"{key}={quote_word(value)} " for key, value in env) if env else ""
    program = quote_word(shell) if shell else '"$SHELL"'
    script = f"{change} ; exec {words}{program} -l"
    if not command:
        return script
    quoted: list[str] = []
    leading = True
    for word in command:
        key, separator, value = word.partition("=")
        leading = leading and bool(separator)
        quoted.append(f"{key}={quote_word(value)}" if leading else quote_word(word))
    return f"{script} -c {quote_word(' '.join(quoted))}"
