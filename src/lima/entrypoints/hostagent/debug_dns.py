"""`limactl debug dns UDPPORT [TCPPORT]`: the name server of a guest alone, until it is interrupted. Hidden.

Source: reference, runtime §9.6 and cli §14.3.
"""

import argparse
import asyncio
import signal
import sys
from typing import NoReturn

from lima.domain.cidata import GATEWAY, GUEST_IP
from lima.domain.errors import CommandError, LimaError
from lima.domain.hostnames import NameServerPorts, host_names
from lima.wiring.container import Container


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


def main(argv: list[str]) -> int:
    """The exit status, once SIGINT or SIGTERM has come. A port that is not given, or 0, is any."""
    parser = _Parser(prog="limactl debug dns", allow_abbrev=False)
    parser.add_argument("udp", metavar="UDPPORT", type=_port)
    parser.add_argument("tcp", metavar="TCPPORT", type=_port, nargs="?", default=0)
    parser.add_argument("-6", "--ipv6", action="store_true", help="answer for IPv6 addresses as well")
    try:
        options = parser.parse_args(argv)
        asyncio.run(_serve(NameServerPorts(udp=options.udp, tcp=options.tcp), ipv6=options.ipv6))
    except LimaError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


async def _serve(ports: NameServerPorts, *, ipv6: bool) -> None:
    names = host_names({}, instance="debug", gateway=GATEWAY, guest_ip=GUEST_IP)
    server = Container().new_name_server()(names, ipv6)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    found = await server.start(ports)
    sys.stdout.write(f"127.0.0.1: udp {found.udp}, tcp {found.tcp}\n")
    sys.stdout.flush()
    await ended.wait()
    await server.stop()


def _port(word: str) -> int:
    if not word.isascii() or not word.isdigit() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"{word!r} is no port")
    return int(word)
