"""Flags that are given more than once: the last counts, as on upstream's command line; the library refuses them."""

from typing import Any

from cyclopts import UNSET, App, RepeatArgumentError


def call(app: App, words: list[str]) -> Any:
    """Run the command; what it returns. Raises: CycloptsError."""
    while True:
        try:
            return app(words, exit_on_error=False, print_error=False, result_action="return_value")
        except RepeatArgumentError as error:
            flag = error.token.keyword
            if flag is None:
                raise
            words = _without_first(words, flag, has_value=error.token.implicit_value is UNSET)


def _without_first(words: list[str], flag: str, *, has_value: bool) -> list[str]:
    at = next(at for at, word in enumerate(words) if word == flag or word.startswith(f"{flag}="))
    width = 2 if has_value and words[at] == flag else 1
    return words[:at] + words[at + width :]
