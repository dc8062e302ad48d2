"""The global flags. Light: on the quick path. Source: reference, cli §1.3."""

from lima.domain.errors import CommandError
from lima.domain.values import Value

LEVELS = {"trace": 0, "debug": 1, "info": 2, "warn": 3, "warning": 3, "error": 4, "fatal": 5, "panic": 5}
VALUED = ("--log-level", "--log-format")
"""Those that take a value."""
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


class GlobalOptions(Value):
    """What holds for every command. `tty` None: decided by whether stdout is a terminal."""

    level: int = LEVELS["info"]
    log_format: str = "text"
    debug: bool = False
    tty: bool | None = None
    yes: bool = False


def take_globals(words: list[str]) -> tuple[GlobalOptions, list[str]]:
    """The global options and the words that are left. Everything after `--` is left alone. Raises: CommandError."""
    options = GlobalOptions()
    level: int | None = None
    rest: list[str] = []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if word == "--":
            rest += [word, *pending]
            break
        flag, has_value, value = word.partition("=")
        if flag in VALUED:
            if not has_value:
                if not pending:
                    raise CommandError(f"flag needs an argument: {flag}")
                value = pending.pop(0)
            if flag == "--log-format":
                if value not in ("text", "json"):
                    raise CommandError(f"unsupported log-format: `{value}`")
                options = options.but(log_format=value)
            elif value.lower() in LEVELS:
                level = LEVELS[value.lower()]
            else:
                raise CommandError(f'not a valid logrus Level: "{value}"')
        elif flag in ("--debug", "--tty", "--yes", "-y"):
            chosen = _boolean(flag, value) if has_value else True
            match flag:
                case "--debug":
                    options = options.but(debug=chosen)
                case "--tty":
                    options = options.but(tty=chosen)
                case _:
                    options = options.but(yes=chosen)
        else:
            rest.append(word)
    if options.yes and options.tty is not None:
        raise CommandError("cannot use both --tty and --yes flags at the same time")
    if options.yes:
        options = options.but(tty=False)
    if options.debug:
        options = options.but(level=LEVELS["debug"])
    return (options if level is None else options.but(level=level)), rest


def _boolean(flag: str, value: str) -> bool:
    if value.lower() not in _BOOLEANS:
        raise CommandError(
            f'invalid argument "{value}" for "{flag}" flag: strconv.ParseBool: parsing "{value}": invalid syntax'
        )
    return _BOOLEANS[value.lower()]
