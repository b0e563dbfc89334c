"""What HTTP brings with it: origins, certificates, slow clients, large bodies; its description; and that there is no page."""

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import openapi_spec_validator
import pytest
from visard import certs
from visard.cluster import free_port_base
from visard_common.metrics import exposed
from visard_common.tls import Tls
from visard_wire.v1 import gateway_pb2

from tests.gateway.harness import House, running
from tests.gateway.over_http import (
    ANY_PORT,
    JSON,
    ORIGIN,
    STATUS,
    VERIFY,
    asked,
    code,
    connected,
    port,
    said,
)

PAGES = ("/", "/index.html", "/favicon.ico", "/robots.txt", STATUS, VERIFY, "/%3Cscript%3E", "/visard.v1.Admin/<html>")


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with running(folder, http_listen=ANY_PORT, http_origins=(ORIGIN,)) as house:
        yield house


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


async def socket_of_the_web__should_be_refused(house: House) -> None:
    more = {"upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    streams = await connected(house)
    lines = [f"GET {STATUS} HTTP/1.1", "host: localhost", "connection: upgrade", *map(": ".join, more.items()), "", ""]
    streams[1].write("\r\n".join(lines).encode())
    assert (await said(streams)).startswith(b"HTTP/1.1 403")


async def health__should_be_told(house: House) -> None:
    status, _, body = await asked(house, "/grpc.health.v1.Health/Check")
    assert (status, json.loads(body)) == (200, {"status": "SERVING"})


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
