"""The port of the registrar: origins, methods, sizes, crowds; and what its log says."""

import asyncio
import base64
import json
import shutil
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from visard import certs
from visard.registrar import authority
from visard.registrar.config import Folder
from visard.registrar.rates import EACH
from visard.registrar.server import MOST_EACH, Server
from visard.registrar.service import ENROL, MAX_BODY, RENEW
from visard_wire.statements import Holder
from visard_wire.vouching import Trust

from tests.client.registering import (
    ORIGIN,
    PATIENCE,
    SETTINGS,
    csr,
    enrolment,
    new_key,
    registrar_at,
    renewal,
    root_of,
    secret,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return registrar_at(tmp_path)


@pytest.fixture
def root(folder: Folder) -> Trust:
    return root_of(folder)


@pytest.fixture
async def port(folder: Folder) -> AsyncIterator[int]:
    server = Server(folder, SETTINGS)
    yield await server.start()
    await server.stop()


async def said(port: int, folder: Folder, text: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and what is said to a whole request."""
    context = ssl.create_default_context(cafile=str(folder.path.parent / "certs" / "ca.pem"))
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(text)
        found = await reader.read()
        writer.transport.abort()
    head, _, body = found.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    named = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    return int(first.split()[1]), named, json.loads(body) if body else None


def asking(path: str, body: bytes = b"", method: str = "POST", **headers: str) -> bytes:
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *map(": ".join, given.items()), "", ""]).encode() + body


async def port__should_sign_and_say_why_not(port: int, folder: Folder, root: Trust, capfd: Any) -> None:
    invitation, key = secret(folder), new_key()
    body = enrolment(invitation, csr(key))
    status, headers, answer = await said(port, folder, asking(ENROL, body, origin=ORIGIN))
    assert (status, headers["access-control-allow-origin"]) == (200, ORIGIN)
    chain = [base64.b64decode(one) for one in answer["chain"]]
    assert root.names(chain) == ["visard://enroller/ada"]
    again, proof = renewal(Holder(chain, key), csr(new_key()), int(time.time() * 1000))
    assert (await said(port, folder, asking(RENEW, again, authorization=proof)))[0] == 200
    status, _, answer = await said(port, folder, asking(ENROL, enrolment(invitation, csr(new_key()))))
    assert status == 403
    assert "used already" in answer["error"]["message"]
    status, _, answer = await said(port, folder, asking(ENROL, b'{"invitation": "', origin=ORIGIN))
    assert status == 400
    shown = "".join(capfd.readouterr())
    for kept in (*invitation.split("."), "ada", proof, base64.b64encode(csr(key)).decode()):
        assert kept not in shown


async def port__should_be_for_some_origins_methods_and_sizes(port: int, folder: Folder) -> None:
    status, headers, _ = await said(port, folder, asking(ENROL, b"", "OPTIONS", origin=ORIGIN))
    assert (status, headers["access-control-allow-origin"]) == (204, ORIGIN)
    assert headers["access-control-allow-headers"] == "authorization, content-type"
    for request, expected in (
        (asking(ENROL, b"", "OPTIONS", origin="https://door.example.org"), 403),
        (asking(ENROL, b"{}", origin="null"), 403),
        (asking(ENROL, b"{}", content_type="text/plain"), 415),
        (asking(ENROL, method="GET"), 405),
        (asking("/", method="GET"), 404),
        (asking("/v1/enrol?secret=1", b"{}"), 404),
        (asking(ENROL, bytes(MAX_BODY + 1)), 413),
        (b"nonsense\r\n\r\n", 400),
        (asking(ENROL, b"{}", x="y" * 40_000), 431),
    ):
        status, headers, _ = await said(port, folder, request)
        assert status == expected
        assert headers["content-type"] == "application/json"
        assert "access-control-allow-origin" not in headers
    assert (await said(port, folder, asking("/health", method="GET")))[::2] == (200, {"healthy": True})


async def certificate__should_be_renewed_while_it_serves(port: int, folder: Folder, tmp_path: Path) -> None:
    certs.init(tmp_path / "later", only=["client"])
    authority.make(tmp_path / "other", tmp_path / "later", SETTINGS, ["localhost"])
    for own, new in zip(folder.tls, Folder(tmp_path / "other").tls, strict=True):
        shutil.copy(new, own)
    with pytest.raises(ssl.SSLCertVerificationError):
        await said(port, folder, asking("/health", method="GET"))
    shutil.copy(tmp_path / "later" / "ca.pem", tmp_path / "certs" / "ca.pem")
    assert (await said(port, folder, asking("/health", method="GET")))[0] == 200
    folder.tls[0].write_text("nonsense")
    assert (await said(port, folder, asking("/health", method="GET")))[0] == 200


async def port__should_answer_no_crowd(port: int, folder: Folder) -> None:
    found = [(await said(port, folder, asking(ENROL, b"{}"))) for _ in range(EACH + 1)]
    assert [status for status, _, _ in found[:EACH]] == [400] * EACH
    status, headers, _ = found[-1]
    assert status == 429
    assert int(headers["retry-after"]) >= 1
    context = ssl.create_default_context(cafile=str(folder.path.parent / "certs" / "ca.pem"))
    held = [
        await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        for _ in range(MOST_EACH)
    ]
    with pytest.raises((ConnectionError, IndexError, ssl.SSLError)):
        await said(port, folder, asking("/health", method="GET"))
    for _, writer in held:
        writer.transport.abort()


async def connections_without_a_handshake__should_be_counted(folder: Folder) -> None:
    server = Server(folder, SETTINGS)
    port = await server.start()
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_EACH)]
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            assert await reader.read() == b""
    assert len(server._open) == MOST_EACH  # these wait still: none was ended by its time
    for _, one in (*held, (reader, writer)):
        one.transport.abort()
    async with asyncio.timeout(PATIENCE):
        while server._open:
            await asyncio.sleep(0.01)
    assert (await said(port, folder, asking("/health", method="GET")))[0] == 200
    await server.stop()


async def health__should_be_looked_at_once_a_while(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visard.registrar.server.HEALTH_SECONDS", PATIENCE)
    server, asked, looked = Server(folder, SETTINGS), asking("/health", method="GET"), Mock(return_value=True)
    port = await server.start()
    monkeypatch.setattr(server._registrar, "healthy", looked)
    assert [status for status, _, _ in [await said(port, folder, asked) for _ in range(3)]] == [200] * 3
    assert looked.call_count == 1
    await server.stop()


async def health__should_say_that_the_book_is_none(port: int, folder: Folder) -> None:
    folder.book.write_bytes(b"nonsense" * 512)
    assert (await said(port, folder, asking("/health", method="GET")))[::2] == (503, {"healthy": False})
    body = enrolment("A" * 11 + "." + "A" * 43, csr(new_key()))
    _, _, answer = await said(port, folder, asking(ENROL, body))
    assert answer == {"error": {"message": "the registrar cannot sign now"}}  # and no path of ours


async def copy_of_a_key__should_be_refused_and_logged(port: int, folder: Folder, capfd: Any) -> None:
    async def renewed(old: Holder) -> tuple[int, Holder]:
        key = new_key()
        body, proof = renewal(old, csr(key), int(time.time() * 1000))
        status, _, answer = await said(port, folder, asking(RENEW, body, authorization=proof))
        return status, Holder([base64.b64decode(one) for one in answer.get("chain", ())], key)

    key = new_key()
    _, _, answer = await said(port, folder, asking(ENROL, enrolment(secret(folder), csr(key))))
    first = Holder([base64.b64decode(one) for one in answer["chain"]], key)
    _, second = await renewed(first)
    assert [(await renewed(one))[0] for one in (second, first)] == [200, 403]
    shown = "".join(capfd.readouterr())
    assert "a key was renewed twice" in shown
    assert "enroller/ada" not in shown


async def service__should_run_and_stop(folder: Folder) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "visard", "registrar", "serve", str(folder.path), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        port = json.loads(await process.stderr.readline())["port"]
        assert (await said(port, folder, asking("/health", method="GET")))[0] == 200
        process.terminate()
        assert await process.wait() == 0
