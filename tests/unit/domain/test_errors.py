"""The error tree: messages that stand alone, facts as attributes."""

import inspect

import pytest

from lima.domain import errors
from lima.domain.errors import (
    DigestMismatchError,
    DownloadError,
    ImageBuildError,
    LimaError,
    PortTakenError,
    RemoteCommandError,
)

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_stands_in_the_tree(cls: type) -> None:
    assert issubclass(cls, LimaError)


def test_facts_are_read_from_attributes() -> None:
    failed = RemoteCommandError("m", remote_exit_code=7, stderr="e", hint="h")
    assert (failed.message, failed.remote_exit_code, failed.stderr, failed.hint) == ("m", 7, "e", "h")
    assert DownloadError("m", unreachable_host="h:1").unreachable_host == "h:1"
    assert ImageBuildError("m", log_tail=("last",)).log_tail == ("last",)
    assert PortTakenError(60022).port == 60022


def test_a_wrong_digest_names_both() -> None:
    error = DigestMismatchError("https://h/x", expected="sha256:a", actual="sha256:b")
    assert str(error) == "image `https://h/x`: expected digest `sha256:a`, got `sha256:b`"
    assert (error.location, error.expected, error.actual) == ("https://h/x", "sha256:a", "sha256:b")
    assert error.hint
