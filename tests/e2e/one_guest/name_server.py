"""The name server of the host, as the guest's host agent finds it."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from dnslib import QTYPE, RCODE, RR, A, DNSRecord

SILENT = "silent.test"


@contextlib.contextmanager
def name_server() -> Iterator[int]:
    """On a port of loopback, UDP alone: knows one name, says nothing at all about another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                packet, sender = server.recvfrom(4096)
                if not packet:
                    return
                query = DNSRecord.parse(packet)
                name = str(query.q.qname).rstrip(".")
                if name == SILENT:
                    continue
                reply = query.reply()
                if name != "only-there.test":
                    reply.header.rcode = RCODE.NXDOMAIN
                elif query.q.qtype == QTYPE.A:
                    reply.add_answer(RR(name, QTYPE.A, rdata=A("192.0.2.9"), ttl=60))
                server.sendto(reply.pack(), sender)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        try:
            yield port
        finally:
            server.sendto(b"", ("127.0.0.1", port))
            thread.join()
