"""What HTTP brings with it: origins, certificates, slow clients, large bodies; its description; and that there is no page."""

import asyncio
import gzip
import json
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import jsonschema  # type: ignore[import-untyped]
import openapi_spec_validator
import pytest
from google.protobuf.message import Message
from visard import certs
from visard.cluster import free_port_base
from visard_common import arrival, uploads
from visard_common.limits import MAX_REQUEST
from visard_common.metrics import exposed
from visard_common.tls import Tls
from visard_gateway.http import app, server
from visard_gateway.http import connections as connections_
from visard_gateway.http.faults import MAX_VALUES
from visard_wire.v1 import gateway_pb2

from tests.gateway.harness import PATIENCE, House, Operation, chunk, eventually, header, request, running, small_upload

ANY_PORT = "127.0.0.1:0"
ORIGIN = "https://door.example"
STATUS = "/visard.v1.FaceMatching/GetStatus"
VERIFY = "/visard.v1.FaceMatching/Verify"
SOON = 0.3
PIECE = 64 << 10
JSON = {"content-type": "application/json"}
PAGES = ("/", "/index.html", "/favicon.ico", "/robots.txt", STATUS, VERIFY, "/%3Cscript%3E", "/visard.v1.Admin/<html>")


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with running(folder, http_listen=ANY_PORT, http_origins=(ORIGIN,)) as house:
        yield house


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


async def page__should_be_served_on_no_port(house: House) -> None:
    for path in PAGES:
        for method, kind in (("GET", "text/html"), ("POST", "text/html"), ("HEAD", ""), ("TRACE", "")):
            status, headers, body = await asked(
                house, path, method=method, headers={"accept": kind, "content-type": kind}
            )
            assert status >= 400
            assert "html" not in headers.get("content-type", "")
            assert headers["x-content-type-options"] == "nosniff"
            assert b"<" not in body
    spoilt = await connected(house)
    spoilt[1].write(b"<html>\r\n\r\n")
    grpc = await connected(house, "client", "h2", at=house.address)
    grpc[1].write(b"GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n")
    for streams in (spoilt, grpc):
        assert b"<" not in await said(streams)
    metrics = f"127.0.0.1:{free_port_base()}"
    async with exposed(metrics):
        plain = await asyncio.open_connection("127.0.0.1", port(metrics))
        plain[1].write(b"GET / HTTP/1.0\r\naccept: text/html\r\n\r\n")
        found = await said(plain)
        assert b"text/plain" in found
        assert b"<" not in found


async def origin__should_be_one_of_the_list(house: House) -> None:
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    status, headers, _ = await asked(house, STATUS, b"", {"origin": ORIGIN, **wish}, "OPTIONS", role=None)
    assert status == 204
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-allow-credentials"] == "true"
    assert "connect-protocol-version" in headers["access-control-allow-headers"]
    status, headers, _ = await asked(house, STATUS, headers={**JSON, "origin": ORIGIN})
    assert (status, headers["access-control-allow-origin"]) == (200, ORIGIN)
    for other in ("https://door.example.org", "http://door.example", "null"):
        for method, more in (("OPTIONS", wish), ("POST", JSON)):
            status, headers, _ = await asked(house, STATUS, headers={**more, "origin": other}, method=method)
            assert status == 403
            assert not any(name.startswith("access-control") for name in headers)


async def form__should_ask_for_nothing(house: House) -> None:
    # what a page of any origin may send without asking
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"):
        status, _, body = await asked(house, STATUS, headers={"content-type": kind})
        assert (status, body) == (415, b"")
    assert (await asked(house, STATUS, headers={"content-type": "application/grpc"}))[0] == 415


async def caller__should_have_a_role_by_its_certificate_alone(house: House, tmp_path: Path) -> None:
    status, _, body = await asked(house, STATUS, role=None)
    assert (status, code(body)) == (403, "permission_denied")
    certs.init(tmp_path / "other")
    shutil.copy(house.folder / "ca.pem", tmp_path / "other" / "ca.pem")  # whom the client trusts
    house.folder = tmp_path / "other"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asked(house, STATUS)


async def certificate__should_count_only_from_a_root_of_its_role(tmp_path: Path, folder: Path) -> None:
    owners = {"party0": "party/0", "party1": "party/1", "party2": "party/2", "callers": "enroller/*"}
    for name in owners:
        certs.init(tmp_path / name, only=["client" if name == "callers" else name])
    certs.init(tmp_path / "gateway", only=["gateway", "client"])  # it makes itself a caller
    shutil.copy(tmp_path / "gateway" / "ca.pem", tmp_path / "ca.pem")
    roots = {role: tmp_path / name / "ca.pem" for name, role in owners.items()}
    roots["gateway"] = tmp_path / "ca.pem"
    own = Tls(roots=roots, cert=tmp_path / "gateway" / "gateway.pem", key=tmp_path / "gateway" / "gateway.key")
    for name in ("callers", "gateway"):
        for end in ("pem", "key"):
            shutil.copy(tmp_path / name / f"client.{end}", tmp_path / f"{name}.{end}")
    async with running(folder, http_listen=ANY_PORT, tls=own) as house:
        house.folder = tmp_path
        assert (await asked(house, STATUS, role="callers"))[0] == 200
        status, _, body = await asked(house, STATUS, role="gateway")
    assert (status, json.loads(body)["message"]) == (403, "no authority vouches here for the certificate's role")


async def certificates__should_be_renewed_while_it_serves(tmp_path: Path, folder: Path) -> None:
    certs.init(tmp_path / "old")
    certs.init(tmp_path / "new")
    own = Tls(ca=tmp_path / "own.ca", cert=tmp_path / "own.cert", key=tmp_path / "own.key")

    def take(name: str) -> None:
        for file, path in (("ca.pem", own.ca), ("gateway.pem", own.cert), ("gateway.key", own.key)):
            shutil.copy(tmp_path / name / file, str(path))

    take("old")
    async with running(folder, http_listen=ANY_PORT, tls=own) as house:
        for name in ("old", "new"):
            take(name)
            house.folder = tmp_path / name
            assert (await asked(house, STATUS))[0] == 200
        house.folder = tmp_path / "old"
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(house, STATUS)


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
    monkeypatch.setattr(connections_, "IDLE_SECONDS", SOON)
    monkeypatch.setattr(app, "IDLE_SECONDS", SOON)
    async with running(folder, http_listen=ANY_PORT) as house:
        for party in house.parties:
            party.subjects = [gateway_pb2.Subject(subject="x" * 1000) for _ in range(4_000)]
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", port(house.http)))
        made = context(house.tls("client"), house.folder / "ca.pem")
        reader, writer = await asyncio.open_connection(sock=deaf, ssl=made, server_hostname="localhost")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        path = "/visard.v1.FaceMatching/ListSubjects"
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
        await eventually(lambda: len(connections()) == 1)
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


def connections() -> list[asyncio.Task[Any]]:
    """Those of the port that are open."""
    return [task for task in asyncio.all_tasks() if "HttpServer._connected" in repr(task.get_coro())]


class Body:
    """A request in this process, whose body never ends: how many pieces of it were taken, and what was answered."""

    def __init__(self, path: str, kind: str, piece: Callable[[int], bytes]) -> None:
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
        peer = {"x509_subject_alternative_name": [b"visard://enroller"]}
        async with asyncio.timeout(PATIENCE):
            await house.front.serve(peer, self._scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        self.taken += 1
        await asyncio.sleep(0)
        return {"type": "http.request", "body": self._piece(self.taken - 1), "more_body": True}

    async def _send(self, message: Any) -> None:
        self.answer += message.get("body", b"") + dict(message.get("headers", ())).get(b"grpc-status", b"")


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


def framed(message: Message) -> bytes:
    """A message as it is sent one after the other."""
    data = message.SerializeToString()
    return bytes([0]) + len(data).to_bytes(4, "big") + data


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


async def socket_of_the_web__should_be_refused(house: House) -> None:
    more = {"upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    streams = await connected(house)
    lines = [f"GET {STATUS} HTTP/1.1", "host: localhost", "connection: upgrade", *map(": ".join, more.items()), "", ""]
    streams[1].write("\r\n".join(lines).encode())
    assert (await said(streams)).startswith(b"HTTP/1.1 403")


async def health__should_be_told(house: House) -> None:
    status, _, body = await asked(house, "/grpc.health.v1.Health/Check")
    assert (status, json.loads(body)) == (200, {"status": "SERVING"})


async def connections__should_be_bounded(folder: Path) -> None:
    async with running(folder, http_listen=ANY_PORT, max_calls=16) as house:
        held = [await connected(house) for _ in range(16)]
        await eventually(lambda: len(connections()) == 16)
        assert await said(await connected(house)) == b""
        for _, writer in held:
            writer.transport.abort()
        await eventually(lambda: not connections())
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


async def description__should_be_served_and_be_sound(house: House) -> None:
    status, headers, body = await asked(house, "/openapi.json", b"", {}, "GET")
    assert (status, headers["content-type"]) == (200, "application/json")
    found = json.loads(body)
    openapi_spec_validator.validate(found)
    services = gateway_pb2.DESCRIPTOR.services_by_name.values()
    assert set(found["paths"]) == {f"/{one.full_name}/{method.name}" for one in services for method in one.methods}
    schemas = found["components"]["schemas"]
    assert schemas["visard.v1.Request"]["properties"]["expiresUnixMs"]["type"] == "string"
    assert "OPERATION_VERIFY" in schemas["visard.v1.Operation"]["enum"]
    answer = json.loads((await asked(house, STATUS))[2])
    jsonschema.validate(answer, {"$ref": "#/components/schemas/visard.v1.GetStatusResponse", **found})
