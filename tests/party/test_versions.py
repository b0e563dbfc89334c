"""Parties of two protocols never form a link, and their operators read why; equal ones do, whatever happened before."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from visard import certs
from visard_common.tls import SERVER_OPTIONS
from visard_engine.prf import KEY_BYTES
from visard_party.consistency.modelset import Differences, digest
from visard_party.models import Published
from visard_party.service.status import obstacles
from visard_wire.v1 import peer_pb2, peer_pb2_grpc
from visard_wire.version import PROTOCOL

from tests.party.harness import linked, tls
from tests.waiting import until

NEWER = PROTOCOL + 1


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


class NewerPeer(peer_pb2_grpc.PeerServicer):
    """Says hello in a protocol that does not exist yet."""

    async def Exchange(self, request_iterator: Any, context: Any) -> AsyncIterator[peer_pb2.Frame]:
        hello = peer_pb2.Hello(party=0, version="9.9", prss_key=bytes(KEY_BYTES), protocol=NEWER)
        yield peer_pb2.Frame(hello=hello)
        async for _ in request_iterator:
            pass


@pytest.mark.parametrize("protocol", [0, NEWER])
async def caller_of_another_protocol__should_be_refused_with_the_reason(pki: Path, protocol: int) -> None:
    async with linked(pki) as parties:
        await parties[2].stop()
        await until(lambda: not parties[0].links.connected(2))
        async with tls(pki, "party2").channel(parties[0]._address, "party/0") as channel:
            hello = peer_pb2.Frame(hello=peer_pb2.Hello(party=2, version="9.9", protocol=protocol))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await peer_pb2_grpc.PeerStub(channel).Exchange(iter([hello]), timeout=60).read()
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "one version at all three" in (caught.value.details() or "")
        (reason,) = obstacles(parties[0].links, [])
        assert "party 2 runs version '9.9'" in reason
        assert f"protocol {protocol}" in reason
        await parties[2].start()
        await until(lambda: all(party.links.up() for party in parties))
        assert obstacles(parties[0].links, []) == []


async def called_peer_of_another_protocol__should_be_refused_with_the_reason(pki: Path) -> None:
    async with linked(pki) as parties:
        await parties[0].stop()
        server = grpc.aio.server(options=SERVER_OPTIONS)
        peer_pb2_grpc.add_PeerServicer_to_server(NewerPeer(), server)
        server.add_secure_port(parties[0]._address, tls(pki, "party0").server_credentials())
        await server.start()
        await until(lambda: all(0 in party.links.refusals for party in parties[1:]))
        assert not any(party.links.connected(0) for party in parties[1:])
        assert "party 0 runs version '9.9'" in obstacles(parties[1].links, [])[0]
        await server.stop(0)
        await parties[0].start()
        await until(lambda: all(party.links.up() for party in parties))
        assert parties[1].links.refusals == {}


async def refused_caller__should_pass_on_what_it_was_told(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with linked(pki) as parties:
        await parties[2].stop()
        hello = parties[2].links._hello
        newer = peer_pb2.Frame(hello=peer_pb2.Hello(party=2, version="9.9", protocol=NEWER))
        monkeypatch.setattr(parties[2].links, "_hello", lambda _: newer)
        await parties[2].start()
        await until(lambda: len(parties[2].links.refusals) == 2)
        assert "party 1 refuses the link: party 2 runs version '9.9'" in obstacles(parties[2].links, [])[1]
        monkeypatch.setattr(parties[2].links, "_hello", hello)
        await until(lambda: all(party.links.up() for party in parties))


def difference__should_count_when_it_lasts() -> None:
    differences = Differences()
    differences.hear(1, b"old", b"new")  # in the middle of a publication
    assert differences.peers() == []
    differences.hear(1, b"new", b"new")
    differences.hear(1, b"old", b"new")
    assert differences.peers() == []
    differences.hear(1, b"old", b"new")
    differences.hear(2, b"new", b"new")
    assert differences.peers() == [1]
    differences.forget(1)
    assert differences.peers() == []


def digest_of_models__should_depend_on_publications_and_not_on_order() -> None:
    def fake(name: str, program: bytes, created: int = 7) -> Published:
        class Model:
            program: Any

        model: Any = Model()
        model.program = Model()
        model.program.digest = program
        return Published(name, 1, created, model)

    one, two = fake("a", b"1" * 32), fake("b", b"2" * 32)
    assert digest([one, two]) == digest([two, one])
    others = [fake("a", b"2" * 32), fake("b", b"1" * 32), fake("a", b"1" * 32, 8)]  # the last: published again
    sets = [[], [one], [two], [one, two], *([other] for other in others), others[:2]]
    assert len({digest(models) for models in sets}) == len(sets)


def reasons__should_name_peers_with_other_models() -> None:
    class Links:
        peers = (0, 2)
        refusals: dict[int, str] = {}  # noqa: RUF012

        def connected(self, peer: int) -> bool:
            return peer == 2

    reasons = obstacles(Links(), [2])  # type: ignore[arg-type]
    assert reasons == ["party 0 is not connected", "party 2 has published other models: see visard model list"]
