"""Rules of what answers a guest's questions for names."""

from collections.abc import Callable

import pytest

from lima.domain.errors import NetworkError
from lima.ports.name_server import NameServer


class NameServerContract:
    """Fixture: `new_subject`, a factory; all of them on the same loopback."""

    @pytest.fixture
    def new_subject(self) -> Callable[[], NameServer]:
        raise NotImplementedError("give the suite its subject")

    async def test_it_chooses_unprivileged_ports(self, new_subject: Callable[[], NameServer]) -> None:
        subject = new_subject()
        ports = await subject.start()
        assert 1024 <= ports.udp < 65536
        assert 1024 <= ports.tcp < 65536
        await subject.stop()

    async def test_two_are_not_in_each_others_way(self, new_subject: Callable[[], NameServer]) -> None:
        one, other = new_subject(), new_subject()
        ports, others = await one.start(), await other.start()
        assert ports.udp != others.udp
        assert ports.tcp != others.tcp
        await one.stop()
        await other.stop()

    async def test_the_next_one_can_have_the_ports_of_one_that_stopped(
        self, new_subject: Callable[[], NameServer]
    ) -> None:
        first, second = new_subject(), new_subject()
        ports = await first.start()
        await first.stop()
        await first.stop()
        assert await second.start(ports) == ports
        await second.stop()

    async def test_ports_of_another_are_refused_and_nothing_is_left_open(
        self, new_subject: Callable[[], NameServer]
    ) -> None:
        holder, late = new_subject(), new_subject()
        ports = await holder.start()
        with pytest.raises(NetworkError):
            await late.start(ports)
        await holder.stop()
        assert await late.start(ports) == ports
        await late.stop()

    async def test_stopping_what_never_ran_is_no_error(self, new_subject: Callable[[], NameServer]) -> None:
        await new_subject().stop()
