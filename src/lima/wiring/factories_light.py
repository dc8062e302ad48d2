"""Factories of what the quick path needs. Light: what a command does not use is not loaded."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # of typing, which costs 6 ms (docs/decisions/0008)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lima.adapters.filesystem.instances import FilesystemInstanceStore
    from lima.adapters.filesystem.summaries import FileSummaryCache
    from lima.adapters.hostagent.client import SocketHostAgentClient
    from lima.adapters.system.processes import SystemProcessTable
    from lima.application.list_instances import ListInstances
    from lima.application.run_shell import RunShell
    from lima.domain.record import Summary


def lima_home() -> str:
    """LIMA_HOME, resolved."""
    from lima.adapters.system import home

    return home.lima_home(os.environ.get("HOME") or os.path.expanduser("~"))


def processes() -> SystemProcessTable:
    from lima.adapters.system.processes import SystemProcessTable

    return SystemProcessTable()


def store(home: str) -> FilesystemInstanceStore:
    from lima.adapters.filesystem.instances import FilesystemInstanceStore

    return FilesystemInstanceStore(home, processes())


def agent_client() -> SocketHostAgentClient:
    from lima.adapters.hostagent.client import SocketHostAgentClient

    return SocketHostAgentClient()


def summary_cache(home: str) -> FileSummaryCache:
    from lima.adapters.filesystem.summaries import FileSummaryCache

    return FileSummaryCache(home)


def list_instances(home: str, *, summarise: Callable[[str], Summary]) -> ListInstances:
    from lima.application.list_instances import ListInstances

    return ListInstances(
        store=store(home),
        client=agent_client(),
        summaries=summary_cache(home),
        summarise=summarise,
        render=render_record,
        host=host_fields(home),
    )


def host_fields(home: str) -> dict[str, str]:
    """The four deprecated keys of a record."""
    import sys

    return {
        "HostOS": "darwin" if sys.platform == "darwin" else "linux",
        "HostArch": os.uname().machine,
        "LimaHome": home,
        "IdentityFile": f"{home}/_config/user",
    }


def render_record(template: str, shown: dict[str, Any]) -> str:
    """A Go template on an object of `list --json`; the engine only beyond simple shapes. Raises: GoTemplateError."""
    from lima.domain.gotemplate import simple
    from lima.domain.record import go_values

    text = simple(template, go_values(shown), is_record=True)
    if text is not None:
        return text
    from lima.wiring import factories_templates

    return factories_templates.go_templates().format(template, shown, record=True)


def run_shell(home: str, *, ssh_variable: str) -> RunShell:
    from lima.application.run_shell import RunShell

    words: tuple[str, ...] = ("ssh",)
    if ssh_variable:
        import shlex

        words = tuple(shlex.split(ssh_variable)) or words
    return RunShell(store=store(home), ssh=words)
