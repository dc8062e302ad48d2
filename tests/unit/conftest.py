"""Unit tests touch nothing: a process, a socket or a sleep ends the test with an error that no code can swallow."""

import asyncio
import os
import socket
import subprocess
import time

import pytest


class ForbiddenError(BaseException):
    """A unit test reached for the world."""


def forbid(what: str) -> object:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise ForbiddenError(f"unit tests use no {what}")

    return refuse


@pytest.fixture(autouse=True)
def nothing_of_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", forbid("processes"))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", forbid("processes"))
    monkeypatch.setattr(os, "posix_spawn", forbid("processes"))
    monkeypatch.setattr(socket.socket, "connect", forbid("sockets"))
    monkeypatch.setattr(socket.socket, "bind", forbid("sockets"))
    monkeypatch.setattr(time, "sleep", forbid("sleeps"))
