"""A small server for a site's folder, to try it: static files alone, over TLS, with the headers that a site's server sends."""

import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import AF_INET6, socket
from socketserver import ThreadingTCPServer
from typing import Any

from visard.errors import InvalidRequest
from visard.pages import CONFIG, HEADERS, files, headers

_SILENCE = 20.0  # seconds, after which a connection ends
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}


@dataclass(frozen=True)
class Served:
    """Everything that is served, by path: read once, so that no request names a file."""

    contents: Mapping[str, bytes]
    headers: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> "Served":
        """A site's folder, each file as its sum says; raises InvalidRequest."""
        found = files(folder)
        try:
            config = (folder / CONFIG).read_bytes()
            sent = headers(json.loads(config))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(f"{folder / CONFIG}: visard web build writes it") from error
        contents = {f"/{name}": data for name, data in found.items() if name != HEADERS}
        return cls({**contents, "/": found["index.html"], f"/{CONFIG}": config}, sent)


class Server(ThreadingTCPServer):
    """Serves until ``shutdown``. ``tls``: paths of the certificates and of their key, in PEM."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, served: Served, host: str, port: int, tls: tuple[Path, Path] | None) -> None:
        self.served = served
        self._tls = _context(*tls) if tls else None
        if ":" in host:
            self.address_family = AF_INET6
        super().__init__((host, port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread, so that a handshake which takes long holds up nobody."""
        connection: socket = request
        connection.settimeout(_SILENCE)
        with suppress(OSError):  # whoever goes away, or does not speak TLS
            if self._tls is None:
                super().finish_request(connection, client_address)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: no request is anybody else's concern."""


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidRequest(f"{cert} and {key}: a certificate and its key in PEM") from error
    return context


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(whole=True)

    def do_HEAD(self) -> None:
        self._answer(whole=False)

    def _answer(self, *, whole: bool) -> None:
        path = self.path.partition("?")[0]
        contents = self.server.served.contents.get(path)
        self.send_response(404 if contents is None else 200)
        kind = ".html" if path == "/" else Path(path).suffix
        self.send_header("Content-Type", _TYPES.get(kind, "application/octet-stream") if contents else "text/plain")
        self.send_header("Content-Length", str(len(contents or b"")))
        for name, value in self.server.served.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if whole and contents:
            self.wfile.write(contents)

    def version_string(self) -> str:
        """What answers say of who gives them."""
        return "visard"

    def log_message(self, *_: Any) -> None:
        """Nothing: who looks at a page is nobody's concern."""
