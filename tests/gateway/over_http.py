"""Requests over HTTP as bytes, for what no client would send; and requests in this process, whose bodies never end."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from visard_common.tls import Tls

from tests.gateway.harness import PATIENCE, House

ANY_PORT = "127.0.0.1:0"
ORIGIN = "https://door.example"
STATUS = "/visard.v1.FaceMatching/GetStatus"
VERIFY = "/visard.v1.FaceMatching/Verify"
JSON = {"content-type": "application/json"}


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def context(tls: Tls | None, ca: Path, *protocols: str) -> ssl.SSLContext:
    """For a client with a certificate, or with none."""
    made = ssl.create_default_context(cafile=str(ca))
    if protocols:
        made.set_alpn_protocols(protocols)
    if tls is not None:
        made.load_cert_chain(tls.cert, tls.key)
    return made


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(house: House, role: str | None = "client", *protocols: str, at: str = "") -> Streams:
    tls = house.tls(role) if role else None
    made = context(tls, house.folder / "ca.pem", *protocols)
    return await asyncio.open_connection("127.0.0.1", port(at or house.http), ssl=made, server_hostname="localhost")


async def said(streams: Streams) -> bytes:
    """Everything until the end of a connection; raises TimeoutError where there is none."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await streams[0].read()
        except (ConnectionError, ssl.SSLError):
            return b""
        finally:
            streams[1].transport.abort()


async def asked(
    house: House,
    path: str,
    body: bytes = b"{}",
    headers: Mapping[str, str] = JSON,
    method: str = "POST",
    role: str | None = "client",
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to one request, in HTTP/1.1."""
    streams = await connected(house, role)
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "connection: close", f"content-length: {len(body)}"]
    text = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())])
    streams[1].write(text.encode() + b"\r\n\r\n" + body)
    if not (found := await said(streams)):
        raise ConnectionError
    head, _, rest = found.partition(b"\r\n\r\n")
    first, *others = head.decode().split("\r\n")
    named = {name.lower(): value for name, _, value in (line.partition(": ") for line in others)}
    if named.get("transfer-encoding") == "chunked":
        rest = b"".join(rest.split(b"\r\n")[1::2])
    return int(first.split()[1]), named, rest


def code(body: bytes) -> str:
    return str(json.loads(body)["code"])


def connections() -> list[asyncio.Task[Any]]:
    """Those of the port that are open."""
    return [task for task in asyncio.all_tasks() if "HttpServer._connected" in repr(task.get_coro())]


class Body:
    """A request in this process, whose body never ends: how many pieces of it were taken, and what was answered."""

    def __init__(self, path: str, kind: str, piece: Callable[[int], bytes], role: str = "enroller") -> None:
        self._peer = {"x509_subject_alternative_name": [f"visard://{role}".encode()]}
        headers = [(b"content-type", kind.encode())]
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "root_path": "",
            "headers": headers,
            "extensions": {},
        }
        self._piece = piece
        self.taken = 0
        self.answer = b""

    async def ask(self, house: House) -> None:
        assert house.front is not None
        async with asyncio.timeout(PATIENCE):
            await house.front.serve(self._peer, self._scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        self.taken += 1
        await asyncio.sleep(0)
        return {"type": "http.request", "body": self._piece(self.taken - 1), "more_body": True}

    async def _send(self, message: Any) -> None:
        self.answer += message.get("body", b"") + dict(message.get("headers", ())).get(b"grpc-status", b"")


def framed(message: Message) -> bytes:
    """A message as it is sent one after the other."""
    data = message.SerializeToString()
    return bytes([0]) + len(data).to_bytes(4, "big") + data
