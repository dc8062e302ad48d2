"""Log lines on stderr, in the text form that Lima's other programs use."""

import json
import sys
import time

DEBUG = False


def _quoted(text: str) -> str:
    plain = text and all(c.isalnum() or c in "-._/@^+" for c in text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def _line(level: str, message: str) -> None:
    zone = time.strftime("%z")
    zone = "Z" if zone in ("", "+0000") else zone[:3] + ":" + zone[3:]
    line = 'time="%s%s" level=%s msg=%s\n' % (time.strftime("%Y-%m-%dT%H:%M:%S"), zone, level, _quoted(message))
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody reads: no reason to stop


def debug(message: str) -> None:
    if DEBUG:
        _line("debug", message)


def info(message: str) -> None:
    _line("info", message)


def warning(message: str) -> None:
    _line("warning", message)


def error(message: str) -> None:
    _line("error", message)


def fatal(message: str) -> None:
    _line("fatal", message)
