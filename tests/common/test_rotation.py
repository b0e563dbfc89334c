"""Certificates are replaced while a server runs: handshakes show the new one, broken files change nothing."""

import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from visard import certs
from visard.cluster import free_port_base
from visard.errors import InvalidRequest
from visard_common import lifecycle
from visard_common.channels import Renewed
from visard_common.config import ServiceConfig
from visard_common.identity import KINDS
from visard_common.tls import Tls
from visard_wire.v1 import gateway_pb2, gateway_pb2_grpc

ASK = gateway_pb2.GetStatusRequest()


class Ready(gateway_pb2_grpc.FaceMatchingServicer):
    """Remembers the certificate of its last caller."""

    def __init__(self) -> None:
        self.caller = b""

    async def GetStatus(self, request: Any, context: Any) -> gateway_pb2.GetStatusResponse:
        (self.caller,) = context.auth_context()["x509_pem_cert"]
        return gateway_pb2.GetStatusResponse(ready=True)


def tls(pki: Path, name: str) -> Tls:
    return Tls(ca=pki / "ca.pem", cert=pki / f"{name}.pem", key=pki / f"{name}.key")


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    certs.init(tmp_path / "pki", ["localhost", "127.0.0.1", "gateway.example"])
    return tmp_path / "pki"


@pytest.fixture
async def served(pki: Path) -> AsyncIterator[tuple[Ready, str]]:
    ready = Ready()  # type: ignore[abstract]  # what it has not is answered with UNIMPLEMENTED
    address = f"localhost:{free_port_base()}"
    config = ServiceConfig(listen=address, tls=tls(pki, "gateway"), drain_seconds=1)
    async with lifecycle.running(
        config,
        {"visard.v1.FaceMatching": KINDS},
        lambda server: gateway_pb2_grpc.add_FaceMatchingServicer_to_server(ready, server),
    ):
        yield ready, address


def shown(address: str, pki: Path) -> bytes:
    """The certificate that a new connection sees, checked against the authority."""
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    context.load_cert_chain(pki / "client.pem", pki / "client.key")
    context.set_alpn_protocols(["h2"])
    host, _, port = address.partition(":")
    with (
        socket.create_connection((host, int(port)), 60) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def stored(pki: Path, name: str) -> bytes:
    return x509.load_pem_x509_certificate((pki / f"{name}.pem").read_bytes()).public_bytes(Encoding.DER)


async def asked(address: str, tls_: Tls) -> bool:
    async with tls_.channel(address, "gateway") as channel:
        return bool((await gateway_pb2_grpc.FaceMatchingStub(channel).GetStatus(ASK, timeout=60)).ready)


async def server__should_show_a_renewed_certificate(served: tuple[Ready, str], pki: Path) -> None:
    _, address = served
    first = stored(pki, "gateway")
    async with tls(pki, "client").channel(address, "gateway") as early:
        stub = gateway_pb2_grpc.FaceMatchingStub(early)
        assert (await stub.GetStatus(ASK, timeout=60)).ready
        assert shown(address, pki) == first
        certs.renew(pki, "gateway")
        assert stored(pki, "gateway") != first
        assert shown(address, pki) == stored(pki, "gateway")
        assert (await stub.GetStatus(ASK, timeout=60)).ready, "a connection from before lives on"
    assert await asked(address, tls(pki, "client"))


@pytest.mark.parametrize("spoil", ["key alone", "nonsense", "missing"])
async def files_that_do_not_fit__should_change_nothing(served: tuple[Ready, str], pki: Path, spoil: str) -> None:
    _, address = served
    first, kept = stored(pki, "gateway"), (pki / "gateway.key").read_bytes()
    if spoil == "key alone":
        shutil.copy(pki / "dealer.key", pki / "gateway.key")
    elif spoil == "nonsense":
        (pki / "gateway.key").write_text("nonsense")
    else:
        (pki / "gateway.key").unlink()
    assert shown(address, pki) == first
    (pki / "gateway.key").write_bytes(kept)
    certs.renew(pki, "gateway")
    assert shown(address, pki) == stored(pki, "gateway") != first


async def new_authority__should_be_trusted_beside_the_old_one(
    served: tuple[Ready, str], pki: Path, tmp_path: Path
) -> None:
    """A bundle in ca.pem lets an authority be replaced step by step."""
    _, address = served
    certs.init(tmp_path / "next")
    both = Tls(ca=pki / "ca.pem", cert=tmp_path / "next" / "client.pem", key=tmp_path / "next" / "client.key")
    with pytest.raises(grpc.aio.AioRpcError):
        await asked(address, both)
    (pki / "ca.pem").write_bytes((pki / "ca.pem").read_bytes() + (tmp_path / "next" / "ca.pem").read_bytes())
    assert await asked(address, both)
    assert await asked(address, tls(pki, "client"))


async def long_lived_channel__should_be_built_again_with_new_files(served: tuple[Ready, str], pki: Path) -> None:
    ready, address = served
    renewed = Renewed(tls(pki, "client"), "gateway", address, gateway_pb2_grpc.FaceMatchingStub)
    callers = []
    for spoil in (None, "renew", "spoil", "renew"):
        before = renewed.current()
        if spoil == "renew":
            certs.renew(pki, "client")
        elif spoil == "spoil":
            (pki / "client.key").write_text("nonsense")
        assert (renewed.current() is before) is (spoil != "renew")
        assert (await renewed.current().GetStatus(ASK, timeout=60)).ready
        assert not renewed.broken()
        callers.append(ready.caller)
    assert callers[0] != callers[1] == callers[2] != callers[3]
    await renewed.close()


def start_with_a_key_of_another_certificate__should_fail_by_name(pki: Path) -> None:
    mixed = Tls(ca=pki / "ca.pem", cert=pki / "gateway.pem", key=pki / "dealer.key")
    with pytest.raises(ValueError, match=r"dealer\.key is not the key of .*gateway\.pem"):
        mixed.server_credentials()


@pytest.mark.parametrize("name", ["gateway", "party1", "client"])
def renewed_certificate__should_keep_role_and_hosts(pki: Path, name: str) -> None:
    before, key = (
        x509.load_pem_x509_certificate((pki / f"{name}.pem").read_bytes()),
        (pki / f"{name}.key").read_bytes(),
    )
    certs.renew(pki, name)
    after = x509.load_pem_x509_certificate((pki / f"{name}.pem").read_bytes())
    after.verify_directly_issued_by(x509.load_pem_x509_certificate((pki / "ca.pem").read_bytes()))
    kind = x509.SubjectAlternativeName
    names = [set(x.extensions.get_extension_for_class(kind).value) for x in (before, after)]
    assert names[0] == names[1]
    assert len(names[0]) == 4
    assert after.serial_number != before.serial_number
    assert (pki / f"{name}.key").read_bytes() != key
    assert (pki / f"{name}.key").stat().st_mode & 0o777 == 0o600
    certs.renew(pki, name, ["*.party0.example", "localhost"])
    more = x509.load_pem_x509_certificate((pki / f"{name}.pem").read_bytes())
    assert set(more.extensions.get_extension_for_class(kind).value) == names[0] | {x509.DNSName("*.party0.example")}
    with pytest.raises(InvalidRequest, match="does not exist"):
        certs.renew(pki, "nobody")
