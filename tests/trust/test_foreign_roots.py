"""Five services and their callers with an authority each: what one operator's authority may issue, and what not.

Every authority issues every name here, and everywhere it is the one that is pinned for it which is believed.
"""

import asyncio
import shutil
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visard import certs
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster, free_port_base
from visard.connection import read_trust
from visard.errors import Unavailable, UntrustedKey, VisardError
from visard.seen import SeenSerials
from visard.trust import trusted
from visard_common.errors import PermissionDenied
from visard_common.tls import Tls
from visard_common.vouching import Vouching
from visard_party.intake.callers import Callers
from visard_party.intake.sealingkeys import SealingKeys
from visard_wire.callers import Signer
from visard_wire.v1 import common_pb2

from tests import sealed
from tests.conftest import UNLIMITED, published
from tests.e2e.raw import unary
from tests.e2e.test_metrics import figures

AUTHORITIES = (*SERVICES, "callers")


@pytest.fixture(scope="module")
def separate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with published(tmp_path_factory.mktemp("home"), options=UNLIMITED, separate=True) as running:
        yield running


@pytest.fixture(scope="module")
def forge(separate: Cluster, tmp_path_factory: pytest.TempPathFactory) -> "Forge":
    return Forge(separate, tmp_path_factory.mktemp("forge"))


@dataclass
class Forge:
    """Any authority's certificate for any role."""

    cluster: Cluster
    folder: Path

    def made(self, authority: str, role: str) -> tuple[Path, Path]:
        """Paths of a certificate and its key."""
        own = self.folder / authority
        if not own.exists():
            shutil.copytree(self.cluster.home / "authorities" / authority, own)
        name = role.replace("/", "-")
        if not (own / f"{name}.key").exists():
            certs._issue(own, name, f"visard://{role}", ["localhost", "127.0.0.1"])
        return own / f"{name}.pem", own / f"{name}.key"

    def tls(self, authority: str, role: str) -> Tls:
        """As a peer with this certificate, who trusts as all the others do."""
        cert, key = self.made(authority, role)
        return Tls(roots=tls_of(self.cluster, "party0").roots, cert=cert, key=key)

    def signer(self, authority: str, role: str) -> Signer:
        return Signer.read(*self.made(authority, role))


def tls_of(cluster: Cluster, name: str) -> Tls:
    """A service's own."""
    return Tls(**tomllib.loads((cluster.home / f"{name}.toml").read_text())["tls"])


async def answered(channel: grpc.aio.Channel, method: str) -> StatusCode:
    """What becomes of a call that says nothing; a request that is silent is turned away by its role first."""
    try:
        await unary(channel, method)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return StatusCode.OK


# whom a service lets in: who is asked, a method, the role that may call it, and whose authority vouches for that
SURFACES = {
    "party to party": ("party0", "/visard.v1.Peer/Exchange", "party/1", "party1"),
    "the other party": ("party1", "/visard.v1.Peer/Exchange", "party/2", "party2"),
    "gateway to party": ("party2", "/visard.v1.Party/GetStatus", "gateway", "gateway"),
    "party to dealer": ("dealer", "/visard.v1.Dealer/Fetch", "party/0", "party0"),
    "enroller to gateway": ("gateway", "/visard.v1.FaceMatching/GetStatus", "enroller/default", "callers"),
    "verifier to gateway": ("gateway", "/visard.v1.FaceMatching/Verify", "verifier/x", "callers"),
    "owner to gateway": ("gateway", "/visard.v1.ModelRegistry/ListModels", "owner/default", "callers"),
    "administrator to gateway": ("gateway", "/visard.v1.Admin/Audit", "admin/default", "callers"),
}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("authority", AUTHORITIES)
async def caller__should_be_let_in_only_with_a_certificate_of_the_pinned_root(
    separate: Cluster, forge: Forge, surface: str, authority: str
) -> None:
    service, method, role, rightful = SURFACES[surface]
    asked = certs.ROLES[service].removeprefix("visard://")
    async with forge.tls(authority, role).channel(separate.address(service), asked) as channel:
        code = await answered(channel, method)
    assert (code is StatusCode.PERMISSION_DENIED) == (authority != rightful), code


@pytest.mark.parametrize("service", SERVICES)
async def forged_role__should_see_health_as_nobody(separate: Cluster, forge: Forge, service: str) -> None:
    """As everybody with a certificate of the deployment may; a root that nobody has pinned is not let in by TLS."""
    asked = certs.ROLES[service].removeprefix("visard://")
    authority = next(one for one in SERVICES if one != service)
    async with forge.tls(authority, "admin/x").channel(separate.address(service), asked) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    certs.init(forge.folder / f"stranger-{service}", only=["admin"])
    own = forge.folder / f"stranger-{service}"
    stranger = Tls(roots=tls_of(separate, "party0").roots, cert=own / "admin.pem", key=own / "admin.key")
    async with stranger.channel(separate.address(service), asked) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert caught.value.code() is StatusCode.UNAVAILABLE


def refusals__should_be_counted_where_they_happen(separate: Cluster, forge: Forge) -> None:
    def counted() -> float:
        return figures(separate)["party0"]["visard_unvouched_certificates_total{}"]

    before = counted()
    forged = forge.tls("dealer", "verifier/counted")

    async def ask() -> None:
        async with forged.channel(separate.address("party0"), "party/0") as channel:
            for _ in range(3):
                assert await answered(channel, "/visard.v1.Party/GetStatus") is StatusCode.PERMISSION_DENIED

    asyncio.run(ask())
    assert counted() == before + 1


@pytest.fixture
async def impostor(forge: Forge, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, str, str]]:
    """A server with a role's name, by some authority: where it is, its role, and who issued it."""
    authority, role = request.param
    server = grpc.aio.server()
    address = f"localhost:{free_port_base()}"
    server.add_secure_port(address, forge.tls(authority, role).server_credentials())
    await server.start()
    yield address, role, authority
    await server.stop(None)


CALLED = {"party/0": "party0", "party/1": "party1", "party/2": "party2", "dealer": "dealer", "gateway": "gateway"}


@pytest.mark.parametrize("impostor", [(a, r) for r in CALLED for a in AUTHORITIES], indirect=True)
async def service__should_be_called_only_if_the_pinned_root_vouches_for_it(
    separate: Cluster, impostor: tuple[str, str, str]
) -> None:
    """Links to peers, the dealer and the parties all go through Tls.channel; gRPC says UNIMPLEMENTED where it gets through."""
    address, role, authority = impostor
    async with tls_of(separate, "party1").channel(address, role) as channel:
        code = await answered(channel, "/visard.v1.Nothing/Nothing")
    assert code is (StatusCode.UNIMPLEMENTED if authority == CALLED[role] else StatusCode.UNAVAILABLE)


@pytest.mark.parametrize("impostor", [(a, "gateway") for a in AUTHORITIES if a != "gateway"], indirect=True)
async def client__should_not_speak_to_a_gateway_of_another_root(
    separate: Cluster, impostor: tuple[str, str, str]
) -> None:
    home = Connection.from_home(separate.home)
    async with Client(Connection(impostor[0], home.ca, home.cert, home.key), deadline=2, retry=False) as client:
        with pytest.raises(Unavailable):
            await client.status()


@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("role", ["enroller/default", "verifier/x", "owner/default", "admin/default"])
def signed_request__should_count_only_with_the_pinned_root(
    separate: Cluster, forge: Forge, authority: str, role: str
) -> None:
    callers = Callers(Vouching(tls_of(separate, "party2")))
    request = common_pb2.Request(request_id=bytes(16), operation=common_pb2.OPERATION_VERIFY, model="face")
    forge.signer(authority, role).sign(request)
    if authority == "callers":
        assert callers.signed(request) == role
    else:
        with pytest.raises(PermissionDenied, match="an authority that vouches for its role here"):
            callers.signed(request)


@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("party", range(3))
def sealing_key__should_be_believed_only_with_the_pinned_root(
    separate: Cluster, forge: Forge, authority: str, party: int, tmp_path: Path
) -> None:
    """By clients; and a party whose own certificate nobody would believe says so when it starts."""
    trust, now = read_trust(separate.home / "certs" / "roots.toml"), sealed.now_ms()
    tls = forge.tls(authority, f"party/{party}")
    honest = [SealingKeys(i, tls_of(separate, f"party{i}"), tmp_path / str(i), 24).offered() for i in range(3)]
    assert trusted(trust, honest, SeenSerials(), now).public
    if authority == f"party{party}":
        honest[party] = SealingKeys(party, tls, tmp_path / "own", 24).offered()
        assert trusted(trust, honest, SeenSerials(), now).public
        return
    with pytest.raises(VisardError, match="an authority that vouches for its role here"):
        SealingKeys(party, tls, tmp_path / "own", 24)
    honest[party] = sealed.statement(forge.folder / authority, party, bytes(32), signer=f"party-{party}")
    with pytest.raises(UntrustedKey, match=f"the sealing key offered for party {party} is not signed as it must be"):
        trusted(trust, honest, SeenSerials(), now)


async def people__should_be_enrolled_and_verified(separate: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(separate.home)) as client:
        await client.enrol("ada", [photos["obama"]])
        assert (await client.verify("ada", photos["obama2"])).match
        assert not (await client.verify("ada", photos["biden"])).match


async def operators_root__should_be_changed_while_all_run(separate: Cluster, photos: dict[str, Path]) -> None:
    """Old and new beside each other; a certificate of the new; the old one away: and then it vouches for nothing."""
    folder, own = separate.home / "certs", separate.home / "authorities" / "party1"
    old, following = (own / "ca.pem").read_bytes(), separate.home / "authorities" / "following"
    certs.init(following, only=["party1"])
    both = separate.home / "both.pem"
    both.write_bytes(old + (following / "ca.pem").read_bytes())
    async with Client(Connection.from_home(separate.home)) as early:
        assert (await early.status()).ready
        certs.trust(folder, {"party/1": both})
        for suffix in ("key", "pem"):
            shutil.copy(following / f"party1.{suffix}", folder / f"fresh.{suffix}")
            (folder / f"fresh.{suffix}").replace(folder / f"party1.{suffix}")
        async with Client(Connection.from_home(separate.home)) as client:
            assert (await client.compare(photos["obama"], photos["obama2"])).match
            certs.trust(folder, {"party/1": following / "ca.pem"})
            assert (await client.compare(photos["obama"], photos["obama2"])).match
        await asyncio.to_thread(separate.restart, "party1")  # whose links to the two others are made anew
        async with Client(Connection.from_home(separate.home)) as newcomer:
            assert (await newcomer.compare(photos["obama"], photos["obama2"])).match
            assert (await newcomer.status()).ready
    stale = Tls(roots=tls_of(separate, "party0").roots, cert=own / "party1.pem", key=own / "party1.key")
    async with stale.channel(separate.address("dealer"), "dealer") as channel:
        assert await answered(channel, "/visard.v1.Dealer/Fetch") in (
            StatusCode.UNAVAILABLE,  # no root of the deployment: TLS does not let it in
            StatusCode.PERMISSION_DENIED,
        )


async def root_that_is_taken_away__should_shut_out_who_is_connected(separate: Cluster, forge: Forge) -> None:
    """The gateway looks at each call, not at the handshake alone."""
    folder = separate.home / "certs"
    before = (folder / "verifier-root.pem").read_bytes()
    async with forge.tls("callers", "verifier/x").channel(separate.address("gateway"), "gateway") as channel:
        assert await answered(channel, "/visard.v1.FaceMatching/Verify") is not StatusCode.PERMISSION_DENIED
        certs.init(separate.home / "authorities" / "others", only=["verifier"])
        certs.trust(folder, {"verifier/*": separate.home / "authorities" / "others" / "ca.pem"})
        assert await answered(channel, "/visard.v1.FaceMatching/Verify") is StatusCode.PERMISSION_DENIED
        back = separate.home / "before.pem"
        back.write_bytes(before)
        certs.trust(folder, {"verifier/*": back})
        assert await answered(channel, "/visard.v1.FaceMatching/Verify") is not StatusCode.PERMISSION_DENIED
