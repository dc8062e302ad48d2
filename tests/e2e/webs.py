"""Servers on loopback that stand in for the web: plain files, and GitHub behind a proxy that ends TLS itself."""

import contextlib
import functools
import http.server
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping

GITHUB_HOSTS = ("raw.githubusercontent.com", "api.github.com")


@contextlib.contextmanager
def file_server(folder: str) -> Iterator[str]:
    """The URL below which the files of `folder` are."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            return

    with _serving(functools.partial(Quiet, directory=folder)) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def github(repositories: Mapping[str, tuple[str, str]], scratch: str) -> Iterator[dict[str, str]]:
    """The environment in which GitHub is here. `repositories`: ORG/REPO → (default branch, folder of its files)."""
    certificate = _certificate(scratch)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate + ".key")

    class Proxy(http.server.BaseHTTPRequestHandler):
        """Answers CONNECT by being the other end."""

        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            host = self.path.partition(":")[0]
            if host not in GITHUB_HOSTS:
                self.send_error(502, f"{host} is not here")
                return
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
            self.close_connection = False

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def do_GET(self) -> None:
            content = self._api() if self.headers["Host"] == "api.github.com" else self._raw()
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def _api(self) -> bytes | None:
            known = repositories.get(self.path.removeprefix("/repos/"))
            return json.dumps({"default_branch": known[0]}).encode() if known else None

        def _raw(self) -> bytes | None:
            org, repo, branch, path = self.path.lstrip("/").split("/", 3)
            known = repositories.get(f"{org}/{repo}")
            if known is None or branch != known[0]:
                return None
            try:
                with open(os.path.join(known[1], path), "rb") as file:
                    return file.read()
            except OSError:
                return None

        def log_message(self, *args: object) -> None:
            return

    with _serving(Proxy) as port:
        yield {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": certificate}


@contextlib.contextmanager
def _serving(handler: "functools.partial[http.server.BaseHTTPRequestHandler] | type") -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def _certificate(scratch: str) -> str:
    """A certificate that is its own authority; the key lies beside it."""
    path = os.path.join(scratch, "github.pem")
    names = ",".join(f"DNS:{host}" for host in GITHUB_HOSTS)
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=stand-in -addext subjectAltName={names}"
    subprocess.run([*command.split(), "-keyout", path + ".key", "-out", path], check=True, capture_output=True)
    return path
