"""The dealer gives each party its part of the same kits, to parties alone, once for all three, and refuses nonsense."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from visard import certs
from visard.cluster import free_port_base
from visard_common import lifecycle
from visard_common.errors import InvalidArgument, Unavailable
from visard_common.kitchunks import add_dealer
from visard_common.limits import MAX_PLAN_BYTES
from visard_common.tls import Tls
from visard_dealer.__main__ import ACCESS
from visard_dealer.config import DealerConfig, master_key
from visard_dealer.factory import KitFactory
from visard_dealer.servicer import DealerServicer
from visard_engine.kits import KitPlan, deal_kit
from visard_engine.sections import Section
from visard_party.kits.source import DealerSource
from visard_wire.v1 import dealer_pb2, dealer_pb2_grpc

PLAN = KitPlan(31, (Section("relu", 120_000, 12), Section("max", 100)))  # more than one chunk a pair
MASTER = bytes(range(32))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


def tls(pki: Path, name: str) -> Tls:
    return Tls(ca=pki / "ca.pem", cert=pki / f"{name}.pem", key=pki / f"{name}.key")


@pytest.fixture
async def dealer(pki: Path, tmp_path: Path) -> AsyncIterator[tuple[KitFactory, str]]:
    address = f"localhost:{free_port_base()}"
    config = DealerConfig(listen=address, tls=tls(pki, "dealer"), master_key=tmp_path / "master", drain_seconds=1)
    factory = KitFactory(MASTER, 8 << 20)
    async with lifecycle.running(
        config,
        ACCESS,
        partial(add_dealer, DealerServicer(factory)),
    ):
        yield factory, address
    factory.close()


async def three_parties__should_get_their_parts_of_one_kit(dealer: tuple[KitFactory, str], pki: Path) -> None:
    factory, address = dealer
    parts = []
    for party in range(3):
        async with tls(pki, f"party{party}").channel(address, "dealer") as channel:
            parts.append(await DealerSource(channel).fetch(PLAN, 7))
    expected = deal_kit(PLAN, MASTER, 7)
    for party, part in enumerate(parts):
        assert (part.keys, part.tag) == (expected.keys(party), expected.tag)
        assert part.corrections == b"".join(expected.part(party))
        assert 3 * len(part.corrections) == 2 * expected.size
    assert len({part.keys.own for part in parts}) == 3
    assert factory.dealt == 1


async def simultaneous_requests__should_cost_one_dealing(dealer: tuple[KitFactory, str], pki: Path) -> None:
    factory, address = dealer
    async with tls(pki, "party0").channel(address, "dealer") as channel:
        source = DealerSource(channel)
        results = await asyncio.gather(*(source.fetch(PLAN, 3) for _ in range(4)))
    assert all(result == results[0] for result in results)
    assert factory.dealt == 1


async def cache__should_stay_within_its_bytes() -> None:
    factory = KitFactory(MASTER, 3 * deal_kit(PLAN, MASTER, 1).size)
    for number in range(1, 8):
        await factory.kit(PLAN, number)
    await asyncio.sleep(0)
    assert len(factory._kits) <= 3
    await factory.kit(PLAN, 7)
    assert factory.dealt == 7
    await factory.kit(PLAN, 1)
    assert factory.dealt == 8
    factory.close()


@pytest.mark.parametrize("name", ["client", "owner", "gateway", "dealer"])
async def other_roles__should_be_denied(dealer: tuple[KitFactory, str], pki: Path, name: str) -> None:
    async with tls(pki, name).channel(dealer[1], "dealer") as channel:
        call = dealer_pb2_grpc.DealerStub(channel).Fetch(dealer_pb2.FetchRequest(plan=PLAN.json(), first=1, count=1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"plan": b"nonsense"}, "plan"),
        ({"plan": b"x" * (MAX_PLAN_BYTES + 1)}, "plan"),
        ({"plan": b'{"q":31,"sections":[["max",99999999999,0]]}'}, "plan"),
        ({"count": 0}, "count"),
        ({"count": 17}, "count"),
        ({"first": 0}, "first"),
        ({"first": 1 << 63}, "first"),
    ],
)
async def bad_request__should_be_named(
    dealer: tuple[KitFactory, str], pki: Path, change: dict[str, object], field: str
) -> None:
    request = dealer_pb2.FetchRequest(**({"plan": PLAN.json(), "first": 1, "count": 1} | change))  # type: ignore[arg-type]
    async with tls(pki, "party1").channel(dealer[1], "dealer") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await dealer_pb2_grpc.DealerStub(channel).Fetch(request, timeout=60).read()
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith(field)
    assert dealer[0].dealt == 0
    assert InvalidArgument.code == "INVALID_ARGUMENT"


async def absent_dealer__should_be_unavailable(pki: Path) -> None:
    async with tls(pki, "party0").channel(f"localhost:{free_port_base()}", "dealer") as channel:
        with pytest.raises(Unavailable, match="the dealer"):
            await DealerSource(channel).fetch(PLAN, 1)


def master_key__should_be_made_once_and_private(tmp_path: Path) -> None:
    key = master_key(tmp_path / "master")
    assert (len(key), master_key(tmp_path / "master")) == (32, key)
    assert (tmp_path / "master").stat().st_mode & 0o777 == 0o600
    (tmp_path / "master").write_bytes(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        master_key(tmp_path / "master")
