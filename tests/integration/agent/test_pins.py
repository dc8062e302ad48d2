"""Folders that the agent holds while a host tells it of changes. A folder plays the 9p mount, whose own part is in a guest's kernel."""

import contextlib
import os
import queue
import subprocess
import tempfile

import grpc
import pytest
from tests.agent_process import AGENT, AgentProcess, Client, interpreters, until, wire
from tests.integration.guest.conftest import NAMESPACE

DAEMON = """
import functools, os, sys
agent, mount, path, runtime_dir = sys.argv[1:]
sys.path[:0] = [agent, agent + "/vendor/" + ("py39" if sys.version_info >= (3, 9) else "py36")]
sys.modules["ssl"] = None
from lima_guestagent import cli, daemon
daemon.Pinning = functools.partial(daemon.Pinning, mounts=lambda: [os.fsencode(mount)])
options = cli.Options()
options.socket_path, options.runtime_dir = path, runtime_dir
sys.exit(daemon.run(options))
"""


class Holder(AgentProcess):
    def __init__(self, folder: str, python: str, mount: str) -> None:
        self._python, self._mount = python, mount
        super().__init__(folder)

    def start(self) -> None:
        self._argv = [self._python, "-IS", "-c", DAEMON, AGENT, self._mount, self.socket_path, self.runtime_dir]
        super().start()

    def held(self) -> set[str]:
        folder = f"/proc/{self.process.pid}/fd"
        links = set()
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # let go in the meantime
                links.add(os.readlink(f"{folder}/{name}"))
        return {os.path.relpath(link, self._mount) for link in links if link.startswith(self._mount)}


def stream(client: Client, says: "queue.Queue[wire.Inotify | None]") -> grpc.Future:
    call = client.channel.stream_unary(
        "/GuestService/PostInotify",
        request_serializer=wire.Inotify.SerializeToString,
        response_deserializer=bytes,
    )
    return call.future(iter(says.get, None), timeout=60)


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: path)
def test_folders_are_held_from_the_beginning_of_the_stream_to_its_end(python: str, tmp_path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    says: queue.Queue[wire.Inotify | None] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="ga-", dir="/tmp") as folder:
        agent = Holder(folder, python, str(tmp_path))
        try:
            with Client(agent.socket_path) as client:
                assert client.info() is not None
                assert agent.held() == set()
                call = stream(client, says)
                until(lambda: agent.held() == {".", "a", "a/b"}, "they are held before there is a message")
                (tmp_path / "c/d").mkdir(parents=True)
                says.put(wire.Inotify(mount_path=str(tmp_path / "c")))
                until(lambda: agent.held() == {".", "a", "a/b", "c", "c/d"}, "new ones are held")
                (tmp_path / "a/b").rmdir()
                says.put(wire.Inotify(mount_path=str(tmp_path / "a")))
                until(lambda: agent.held() == {".", "a", "c", "c/d"}, "one that is gone is let go")
                says.put(None)
                assert call.result() == b""
                until(lambda: not agent.held(), "all are let go")
                # and when the host just leaves
                call = stream(client, says)
                until(lambda: agent.held() == {".", "a", "c", "c/d"}, "they are held again")
                call.cancel()
                says.put(None)  # for the thread that reads it
                until(lambda: not agent.held(), "all are let go")
            assert "Traceback" not in agent.log()
        finally:
            agent.kill()


WATCH = """
import asyncio, os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from lima_guestagent.mounts import MountWatch

folder, seen = sys.argv[2], []
loop = asyncio.new_event_loop()
watch = MountWatch(loop, lambda: seen.append(1))

def settled():
    loop.run_until_complete(asyncio.sleep(0.2))
    count, seen[:] = len(seen), []
    return count

print("idle", settled())
for words in (["mount", "-t", "tmpfs", "x", folder], ["umount", folder]):
    subprocess.check_call(words)
    print(words[0], min(settled(), 1))
print("idle", settled())
watch.close()
subprocess.check_call(["mount", "-t", "tmpfs", "x", folder])
print("closed", settled())
"""


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: path)
def test_each_mount_is_told_and_nothing_else(python: str, tmp_path) -> None:
    words = [*NAMESPACE, python, "-IS", "-c", WATCH, AGENT, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["idle 0", "mount 1", "umount 1", "idle 0", "closed 0"], done.stderr
