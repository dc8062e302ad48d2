"""Factories of what the quick path needs. Light: nothing heavy at the top of this module or below it."""

from collections.abc import Callable

from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.adapters.filesystem.summaries import FileSummaryCache
from lima.adapters.hostagent.client import SocketHostAgentClient
from lima.adapters.system.processes import SystemProcessTable
from lima.application.list_instances import ListInstances
from lima.application.run_shell import RunShell
from lima.domain.record import Summary


def lima_home() -> str:
    """LIMA_HOME, resolved."""
    import os

    from lima.adapters.system import host

    return host.lima_home(os.environ.get("HOME") or os.path.expanduser("~"))


def processes() -> SystemProcessTable:
    return SystemProcessTable()


def store(home: str) -> FilesystemInstanceStore:
    return FilesystemInstanceStore(home, processes())


def agent_client() -> SocketHostAgentClient:
    return SocketHostAgentClient()


def summary_cache(home: str) -> FileSummaryCache:
    return FileSummaryCache(home)


def list_instances(home: str, *, summarise: Callable[[str], Summary]) -> ListInstances:
    return ListInstances(store=store(home), client=agent_client(), summaries=summary_cache(home), summarise=summarise)


def run_shell(home: str, *, ssh_variable: str) -> RunShell:
    words: tuple[str, ...] = ("ssh",)
    if ssh_variable:
        import shlex

        words = tuple(shlex.split(ssh_variable)) or words
    return RunShell(store=store(home), ssh=words)
