"""The dealer shows a kit's seeds to all three parties or to nobody, and delivers it no more; one lying party gets nothing."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from visard import certs
from visard.cluster import free_port_base
from visard_common import lifecycle
from visard_common.errors import FailedPrecondition, Unavailable
from visard_common.kitchunks import Chunk, Delivers, add_dealer
from visard_dealer import reveals
from visard_dealer.__main__ import ACCESS
from visard_dealer.config import DealerConfig
from visard_dealer.factory import KitFactory
from visard_dealer.reveals import Reveals
from visard_dealer.servicer import DealerServicer
from visard_engine.kits import deal_kit
from visard_party.kits.source import DealerSource
from visard_wire.v1 import dealer_pb2, dealer_pb2_grpc

from tests.dealer.test_dealer import MASTER, tls
from tests.dealer.test_fetch import NO_CHUNKS, SMALL, served, served_by


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


@pytest.fixture
async def address(pki: Path) -> AsyncIterator[str]:
    address = f"localhost:{free_port_base()}"
    config = DealerConfig(listen=address, tls=tls(pki, "dealer"), master_key=pki / "unused", drain_seconds=1)
    factory = KitFactory(MASTER, 8 << 20)
    servicer = DealerServicer(factory)
    async with lifecycle.running(config, ACCESS, partial(add_dealer, servicer)):
        yield address
    factory.close()


async def ask(pki: Path, address: str, party: int, number: int) -> tuple[bytes, bytes, bytes] | None:
    async with tls(pki, f"party{party}").channel(address, "dealer") as channel:
        return await DealerSource(channel).reveal(SMALL, number)


async def fetched(pki: Path, address: str, party: int, number: int) -> bytes:
    async with tls(pki, f"party{party}").channel(address, "dealer") as channel:
        return (await DealerSource(channel).fetch(SMALL, number)).tag


async def seeds__should_be_shown_when_all_three_have_asked(pki: Path, address: str) -> None:
    assert [await ask(pki, address, party, 7) for party in (2, 0)] == [None, None]
    expected = deal_kit(SMALL, MASTER, 7).seeds
    assert [await ask(pki, address, party, 7) for party in (1, 2, 0)] == [expected] * 3


async def one_party_alone__should_get_no_seeds(pki: Path, address: str) -> None:
    """However often it asks, under whatever certificate of its own, and whatever else it has asked about."""
    for _ in range(4):
        assert await ask(pki, address, 1, 7) is None
    for party in (0, 2):
        assert await ask(pki, address, party, 8) is None
    assert await ask(pki, address, 1, 7) is None
    assert await fetched(pki, address, 1, 7) == deal_kit(SMALL, MASTER, 7).tag


async def kit_that_was_shown__should_not_be_delivered_any_more(pki: Path, address: str) -> None:
    for party in range(3):
        await ask(pki, address, party, 7)
    with pytest.raises(FailedPrecondition, match="shown"):
        await fetched(pki, address, 0, 7)
    assert await fetched(pki, address, 0, 8)


@pytest.mark.parametrize("name", ["client", "owner", "gateway", "dealer"])
async def other_roles__should_be_shown_nothing(pki: Path, address: str, name: str) -> None:
    for party in range(3):
        await ask(pki, address, party, 7)
    request = dealer_pb2.RevealRequest(plan=SMALL.json(), id=7)
    async with tls(pki, name).channel(address, "dealer") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await dealer_pb2_grpc.DealerStub(channel).Reveal(request)
    assert caught.value.code() is StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("plan", "number", "field"), [(b"x", 1, "plan"), (SMALL.json(), 0, "id"), (SMALL.json(), 1 << 63, "id")]
)
async def bad_request__should_be_named(pki: Path, address: str, plan: bytes, number: int, field: str) -> None:
    async with tls(pki, "party1").channel(address, "dealer") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await dealer_pb2_grpc.DealerStub(channel).Reveal(dealer_pb2.RevealRequest(plan=plan, id=number))
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith(field)


class Nonsense(Delivers):
    """Shows seeds that are none."""

    def __init__(self, seeds: list[bytes]) -> None:
        self.seeds = seeds

    async def Reveal(self, request: dealer_pb2.RevealRequest, context: object) -> dealer_pb2.RevealResponse:
        return dealer_pb2.RevealResponse(seeds=self.seeds)

    async def Fetch(self, request: dealer_pb2.FetchRequest, context: object) -> AsyncIterator[Chunk]:
        yield dealer_pb2.KitChunk()


@pytest.mark.parametrize("seeds", [[b""], [bytes(16)] * 2, [bytes(16)] * 4, [bytes(16), bytes(16), bytes(15)]])
async def seeds_of_a_wrong_size__should_be_no_answer(pki: Path, seeds: list[bytes]) -> None:
    async for channel in served(Nonsense(seeds), pki):
        with pytest.raises(Unavailable, match="wrong size"):
            await DealerSource(channel).reveal(SMALL, 1)


async def answer_that_is_none__should_be_unavailable(pki: Path) -> None:
    async def answer(request: bytes, context: object) -> bytes:
        return NO_CHUNKS["another wire type"]

    calls = {"Reveal": grpc.unary_unary_rpc_method_handler(answer)}
    handler = grpc.method_handlers_generic_handler("visard.v1.Dealer", calls)
    async for channel in served_by(lambda server: server.add_generic_rpc_handlers((handler,)), pki):
        with pytest.raises(Unavailable, match="no answer"):
            await DealerSource(channel).reveal(SMALL, 1)


def party_that_asks_for_ever_more__should_push_out_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reveals, "MOST", 8)
    asked = Reveals()
    for party in (0, 1):
        assert not asked.ask(party, (b"plan", 1))
    for number in range(2, 1000):
        assert not asked.ask(2, (b"plan", number))
    assert asked.ask(2, (b"plan", 1))
    assert max(len(one) for one in asked._asked) == 8
