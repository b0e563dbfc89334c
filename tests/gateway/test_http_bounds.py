"""The HTTP port holds little and waits for nobody: slow clients, deaf ones, bodies that never end, too many calls."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from google.protobuf.message import Message
from visard_common import arrival, uploads
from visard_common.limits import MAX_REQUEST
from visard_gateway.http import app, server
from visard_gateway.http import connections as connections_
from visard_gateway.http.faults import MAX_VALUES
from visard_wire.v1 import gateway_pb2

from tests.gateway.harness import PATIENCE, House, Operation, chunk, eventually, header, request, running, small_upload
from tests.gateway.over_http import (
    ANY_PORT,
    JSON,
    ORIGIN,
    STATUS,
    VERIFY,
    Body,
    asked,
    code,
    connected,
    connections,
    framed,
    said,
)

SOON = 0.3
PIECE = 64 << 10


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with running(folder, http_listen=ANY_PORT, http_origins=(ORIGIN,)) as house:
        yield house


async def silence__should_end_a_connection(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", SOON)
    monkeypatch.setattr(arrival.only, "__defaults__", (SOON,))
    async with running(folder, http_listen=ANY_PORT) as house:
        for begun in (b"", b"POST / HTTP/1.1\r\nhost: lo"):
            streams = await connected(house)
            streams[1].write(begun)
            assert await said(streams) == b""
        streams = await connected(house)
        head = (
            f"POST {STATUS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
        )
        streams[1].write(head.encode() + b"{")
        found = await said(streams)
    assert found.startswith(b"HTTP/1.1 504")
    assert b"no message came within 0.3 s" in found


async def answer__should_not_wait_for_a_client_that_does_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(folder, http_listen=ANY_PORT) as house:
        for party in house.parties:
            party.subjects = [gateway_pb2.Subject(subject="x" * 1000) for _ in range(4_000)]
        reader, writer = await connected(house)
        await eventually(lambda: len(connections()) == 1)
        deaf = writer.get_extra_info("socket")  # now: so little room could drop and delay a piece of the handshake
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        path = "/visard.v1.FaceMatching/ListSubjects"
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
        monkeypatch.setattr(connections_, "IDLE_SECONDS", SOON)
        monkeypatch.setattr(app, "IDLE_SECONDS", SOON)
        writer.write(3 * (head.encode() + b"{}"))  # one answer after the other: asyncio takes the first whole
        await eventually(lambda: not connections())
        writer.transport.abort()


async def refusal__should_be_told_while_more_comes(house: House) -> None:
    # more than all buffers hold, to who answers without reading
    status, _, _ = await asked(house, STATUS, bytes(24 << 20), {**JSON, "origin": "https://else.example"})
    assert status == 403
    status, _, _ = await asked(house, "/nowhere", bytes(24 << 20))
    assert status == 404
    await eventually(lambda: not connections())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read of what is refused."""
    monkeypatch.setattr(app, "UPLOAD_DRAIN_SECONDS", 0.0)
    monkeypatch.setattr(uploads, "UPLOAD_DRAIN_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("kind", "found"), [("application/json", b"resource_exhausted"), ("application/grpc-web+proto", b"grpc-status: 8")]
)
async def memory__should_hold_one_message_at_most(house: House, hasty: None, kind: str, found: bytes) -> None:
    start = bytes([0, 0, 0x20, 0, 1])  # of a message of gRPC-Web that is one byte too long
    body = Body(STATUS, kind, lambda k: start + bytes(PIECE - 5) if not k else bytes(PIECE))
    await body.ask(house)
    assert body.taken <= MAX_REQUEST // PIECE + 2
    assert found in body.answer


async def upload__should_wait_where_a_party_is_slow(folder: Path, hasty: None) -> None:
    def piece(number: int) -> bytes:
        messages = [chunk(0, number - 1, bytes(PIECE))] if number else [header(request(), (1 << 30,) * 3)]
        return b"".join(framed(message) for message in messages)

    async with running(folder, http_listen=ANY_PORT, upload_timeout=1.0) as house:
        for party in house.parties:
            party.hang_in = "Deposit"
        body = Body(VERIFY, "application/connect+proto", piece)
        await body.ask(house)
    assert b"deadline_exceeded" in body.answer
    assert 4 < body.taken < (8 << 20) // PIECE


async def refused_upload__should_leave_its_connection_to_others(house: House) -> None:
    """HTTP/2: what still comes of an upload that was answered must not end another call of the same connection."""
    house.parties[0].hang_in = "Run"
    reader, writer = await connected(house, "client", "h2")
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    ended, bodies = set[int](), dict[int, bytes]()

    async def until(done: Callable[[], bool]) -> None:
        writer.write(client.data_to_send())
        async with asyncio.timeout(PATIENCE):
            while not done():
                data = await reader.read(1 << 16)
                assert data, "the connection has ended"
                for event in client.receive_data(data):
                    if isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                    if isinstance(event, h2.events.StreamEnded):
                        ended.add(event.stream_id)
                writer.write(client.data_to_send())

    def begin(stream_id: int, *messages: Message, end: bool) -> None:
        fields = {":method": "POST", ":path": VERIFY, ":scheme": "https", ":authority": "localhost"}
        client.send_headers(stream_id, [*fields.items(), ("content-type", "application/connect+proto")])
        client.send_data(stream_id, b"".join(map(framed, messages)), end_stream=end)

    begin(1, *small_upload(request()), end=True)
    begin(3, chunk(0, 0, b"no header"), end=False)
    await until(lambda: 3 in ended)
    assert b"invalid_argument" in bodies[3]
    client.send_data(3, bytes(100), end_stream=True)
    begin(5, *small_upload(request(Operation.OPERATION_ENROL)), end=True)
    await until(lambda: 5 in ended)
    assert b"request.operation" in bodies[5]
    assert 1 not in ended
    writer.transport.abort()
    await eventually(lambda: bool(house.parties[0].cancelled))


async def body__should_be_refused_that_costs_more_than_it_weighs(house: House) -> None:
    many = json.dumps({"prefixes": [""] * (MAX_VALUES + 1)}).encode()
    deep = b'{"request":' * 5000
    for body in (many, deep, b"\xff", b'{"prefixes": 3}'):
        status, _, found = await asked(house, "/visard.v1.Admin/Audit", body, role="admin")
        assert (status, code(found)) == (400, "invalid_argument")
        assert json.loads(found)["details"][0]["debug"]["fieldViolations"][0]["field"] == "message"
    packed = {**JSON, "content-encoding": "gzip"}
    status, _, found = await asked(house, STATUS, gzip.compress(b"{}"), packed)
    assert (status, code(found)) == (501, "unimplemented")
    status, _, _ = await asked(house, STATUS, headers={**JSON, "x-name": "\u00fc"})
    assert status == 400


async def connections__should_be_bounded(folder: Path) -> None:
    async with running(folder, http_listen=ANY_PORT, max_calls=16) as house:
        held = [await connected(house) for _ in range(16)]
        await eventually(lambda: len(connections()) == 16)
        assert await said(await connected(house)) == b""
        for _, writer in held:
            writer.transport.abort()
        await eventually(lambda: not connections())
        assert (await asked(house, STATUS))[0] == 200


async def calls__should_be_bounded_whatever_their_roles(folder: Path) -> None:
    begun = asyncio.Queue[None]()

    class Silent(Body):
        async def _receive(self) -> dict[str, Any]:
            begun.put_nowait(None)
            await asyncio.Event().wait()
            raise AssertionError

    async with running(folder, http_listen=ANY_PORT, max_calls=16) as house:
        held = []
        for role in ["enroller"] * 12 + ["admin"] * 4:
            held.append(asyncio.ensure_future(Silent(STATUS, "application/json", bytes, role).ask(house)))
            await begun.get()
        beyond = Body(STATUS, "application/json", bytes, "owner")
        await beyond.ask(house)
        assert code(beyond.answer) == "resource_exhausted"
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        assert (await asked(house, STATUS))[0] == 200


async def end__should_wait_for_what_is_under_way(folder: Path) -> None:
    async with running(folder, http_listen=ANY_PORT) as house:
        party = house.parties[0]
        party.wait_in_run = asyncio.Event()
        body = json.dumps({"request": {"operation": "OPERATION_DELETE"}}).encode()
        call = asyncio.ensure_future(asked(house, "/visard.v1.FaceMatching/Delete", body))
        await eventually(party.run_started)
        assert house.door is not None
        closing = asyncio.ensure_future(house.door.close(PATIENCE))
        with pytest.raises(ConnectionError):
            while True:
                await asked(house, STATUS)
        party.wait_in_run.set()
        status, _, found = await call
        await closing
    assert (status, json.loads(found)["referencesDeleted"]) == (200, 2)
