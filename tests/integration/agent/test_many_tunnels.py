"""More tunnels than an agent was given descriptors for at first, and as many as it can have."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator

import pytest
from lima_guestagent.limits import shares
from tests.agent_process import AgentProcess, agent

from lima.adapters.guestagent.client import GrpcGuestAgent
from lima.domain.errors import GuestDialError
from lima.domain.guest_ports import GuestPort, PortProtocol
from lima.ports.guest_agent import Tunnel

MANY = 1500
FEW = 256
WAIT_S = 60


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """The programs that the agent talks to are in this process."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < 2 * MANY:
        if 0 <= hard < 2 * MANY:
            pytest.skip(f"a process may have no more than {hard} descriptors here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * MANY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.asynccontextmanager
async def program() -> AsyncIterator[GuestPort]:
    """Says back what it hears."""
    peers: set[asyncio.StreamWriter] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()
        peers.discard(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=MANY)
    yield GuestPort(PortProtocol.TCP, "127.0.0.1", server.sockets[0].getsockname()[1])
    server.close()
    for peer in peers:
        peer.transport.abort()
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected(process: AgentProcess) -> AsyncIterator[GrpcGuestAgent]:
    link = GrpcGuestAgent()
    async with asyncio.timeout(WAIT_S):
        await link.connect(process.socket_path)
        yield link
        await link.close()


async def answers(tunnel: Tunnel, said: bytes) -> bool:
    """Whether it leads to the program. Raises: GuestDialError."""
    await tunnel.send(said)
    return await tunnel.receive() == said


async def test_many_tunnels_of_an_agent_that_was_given_few_descriptors_at_first() -> None:
    with agent(limits="ulimit -Sn 1024") as process:
        async with program() as port, connected(process) as link:
            tunnels = await asyncio.gather(*(link.tunnel(port) for _ in range(MANY)))
            heard = await asyncio.gather(*(answers(one, b"%d" % number) for number, one in enumerate(tunnels)))
            assert heard == [True] * MANY
            assert process.descriptors() > MANY


async def test_one_tunnel_too_many_is_told_so_and_costs_the_others_nothing() -> None:
    most, _ = shares(FEW)
    with agent(limits=f"ulimit -n {FEW}") as process:
        async with program() as port, connected(process) as link:
            changes = link.changes()
            tunnels = await asyncio.gather(*(link.tunnel(port) for _ in range(most)))
            assert all(await asyncio.gather(*(answers(one, b"1") for one in tunnels)))
            for _ in range(10):
                with pytest.raises(GuestDialError, match="too many open files"):
                    await answers(await link.tunnel(port), b"2")
            # neither the tunnels nor the rest of what an agent does have suffered
            assert all(await asyncio.gather(*(answers(one, b"3") for one in tunnels)))
            async with program() as other:
                while other not in (await anext(changes)).added:
                    pass
                assert {port, other} <= set(await link.listening())
            await tunnels[0].close()
            while True:
                with contextlib.suppress(GuestDialError):
                    assert await answers(await link.tunnel(port), b"4")
                    break
