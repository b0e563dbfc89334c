"""Dealing stops when nobody listens, a failure is not kept, kits outlive the dealer's memory, and a lying dealer is noticed."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from visard import certs
from visard.cluster import free_port_base
from visard_common import lifecycle
from visard_common.errors import ServiceFault, Unavailable
from visard_common.kitchunks import Chunk, Delivers, add_dealer
from visard_dealer import factory as factory_module
from visard_dealer.__main__ import ACCESS
from visard_dealer.config import DealerConfig
from visard_dealer.factory import KitFactory
from visard_dealer.servicer import DealerServicer
from visard_engine.errors import PlanError
from visard_engine.kits import DealtKit, KitPlan, deal_kit
from visard_engine.sections import Section
from visard_party.kits.source import DealerSource, Fetched
from visard_wire.limits import MAX_MESSAGE
from visard_wire.v1 import dealer_pb2, dealer_pb2_grpc

from tests.dealer.test_dealer import MASTER, PLAN, tls
from tests.waiting import PATIENCE, until

SMALL = KitPlan(31, (Section("truncate", 10, 8),))
Deal = Callable[[KitPlan, bytes, int], DealtKit]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


async def served(servicer: Delivers, pki: Path) -> AsyncIterator[grpc.aio.Channel]:
    async for channel in served_by(partial(add_dealer, servicer), pki):
        yield channel


async def served_by(add: Callable[[grpc.aio.Server], None], pki: Path) -> AsyncIterator[grpc.aio.Channel]:
    address = f"localhost:{free_port_base()}"
    config = DealerConfig(listen=address, tls=tls(pki, "dealer"), master_key=pki / "unused", drain_seconds=1)
    async with (
        lifecycle.running(config, ACCESS, add),
        tls(pki, "party1").channel(address, "dealer") as channel,
    ):
        yield channel


@pytest.fixture
def factory() -> KitFactory:
    return KitFactory(MASTER, 8 << 20)


@pytest.fixture
async def channel(factory: KitFactory, pki: Path) -> AsyncIterator[grpc.aio.Channel]:
    async for channel in served(DealerServicer(factory), pki):
        yield channel
    factory.close()


class Gate:
    """A dealing that waits for the test, kit by kit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[int] = []
        self.permits = threading.Semaphore(0)
        monkeypatch.setattr(factory_module, "deal_kit", self.deal)

    def deal(self, plan: KitPlan, master: bytes, kit_id: int) -> DealtKit:
        self.started.append(kit_id)
        assert self.permits.acquire(timeout=PATIENCE)
        return deal_kit(plan, master, kit_id)

    async def reached(self, count: int) -> None:
        await until(lambda: len(self.started) >= count)


async def several_kits__should_come_in_order_in_small_pieces(channel: grpc.aio.Channel) -> None:
    request = dealer_pb2.FetchRequest(plan=PLAN.json(), first=4, count=3)
    chunks = [chunk async for chunk in dealer_pb2_grpc.DealerStub(channel).Fetch(request, timeout=PATIENCE)]
    headers = [chunk.header for chunk in chunks if chunk.HasField("header")]
    assert [header.id for header in headers] == [4, 5, 6]
    assert {header.size for header in headers} == {PLAN.correction_bytes}
    assert max(len(chunk.data) for chunk in chunks) <= 1 << 20 < PLAN.correction_bytes
    data = b"".join(chunk.data for chunk in chunks)
    assert data == b"".join(b"".join(deal_kit(PLAN, MASTER, number).part(1)) for number in (4, 5, 6))


async def cancelled_call__should_stop_the_dealing_between_kits(
    channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    call = dealer_pb2_grpc.DealerStub(channel).Fetch(dealer_pb2.FetchRequest(plan=SMALL.json(), first=1, count=16))
    reading = asyncio.ensure_future(call.read())
    await gate.reached(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.sleep(0.1)  # for the dealer to hear of it
    gate.permits.release(16)
    source = DealerSource(channel)
    await source.fetch(SMALL, 100)
    assert gate.started == [1, 100]


async def deadline__should_be_kept_by_a_slow_dealer(channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    request = dealer_pb2.FetchRequest(plan=SMALL.json(), first=1, count=1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await dealer_pb2_grpc.DealerStub(channel).Fetch(request, timeout=0.2).read()
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED
    gate.permits.release(16)


async def one_caller_giving_up__should_not_take_the_kit_from_another(
    factory: KitFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first, second = (asyncio.create_task(factory.kit(SMALL, 1)) for _ in range(2))
    await gate.reached(1)
    first.cancel()
    gate.permits.release()
    assert (await second).corrections == deal_kit(SMALL, MASTER, 1).corrections
    assert gate.started == [1]
    factory.close()


async def failed_dealing__should_be_tried_again(factory: KitFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> DealtKit:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(factory_module, "deal_kit", fail)
        with pytest.raises(MemoryError):
            await factory.kit(SMALL, 1)
        await asyncio.sleep(0)
    assert (await factory.kit(SMALL, 1)).seeds == deal_kit(SMALL, MASTER, 1).seeds
    factory.close()


async def kit_larger_than_the_cache__should_be_dealt_and_not_kept() -> None:
    factory = KitFactory(MASTER, 1)
    assert 2 * (await factory.kit(SMALL, 1)).size == 3 * SMALL.correction_bytes
    await asyncio.sleep(0)
    assert not factory._kits
    factory.close()


def kits__should_depend_on_the_master_the_plan_and_the_number_alone() -> None:
    kit, other = deal_kit(SMALL, MASTER, 1), KitPlan(31, (Section("truncate", 10, 9),))
    assert (deal_kit(SMALL, MASTER, 1).seeds, deal_kit(SMALL, MASTER, 1).corrections) == (kit.seeds, kit.corrections)
    different = [deal_kit(SMALL, MASTER, 2), deal_kit(SMALL, bytes(32), 1), deal_kit(other, MASTER, 1)]
    seeds = [seed for dealt in (kit, *different) for seed in dealt.seeds]
    assert len(set(seeds)) == len(seeds) == 12


@pytest.mark.parametrize(
    "plan",
    [
        b"[" * 500_000,
        b'{"q":31}',
        b'{"q":7,"sections":[["max",1,0]]}',
        b'{"q":31,"sections":[["max",1]]}',
        b"\xff",
        b"1",
    ],
    ids=["deep", "no sections", "other field", "short section", "not text", "not an object"],
)
def malformed_plan__should_be_a_plan_error(plan: bytes) -> None:
    with pytest.raises(PlanError):
        KitPlan.parse(plan)


NO_CHUNKS = {  # bytes that are no KitChunk of dealer.proto
    "cut off": b"\x12\x05abc",
    "size without an end": b"\x12" + b"\xff" * 12,
    "header that is none": b"\x0a\x01\x0f",
    "another wire type": b"\x17",
}


class Liar(Delivers):
    """Sends a kit with one thing wrong."""

    def __init__(self, lie: str) -> None:
        self.lie = lie

    async def Fetch(self, request: dealer_pb2.FetchRequest, context: object) -> AsyncIterator[Chunk]:
        header = dealer_pb2.KitHeader(
            id=request.first, plan_digest=SMALL.digest, seed_own=bytes(16), seed_previous=bytes(16), tag=bytes(32)
        )
        size = SMALL.correction_bytes
        match self.lie:
            case "seed":
                header.seed_own = bytes(5)
            case "tag":
                header.tag = bytes(31)
            case "number":
                header.id += 1
            case "plan":
                header.plan_digest = bytes(32)
            case "short":
                size -= 1
            case "endless":
                size = 1 << 40
            case "large":
                yield dealer_pb2.KitChunk(data=bytes(MAX_MESSAGE))
            case "late":
                yield dealer_pb2.KitChunk(data=bytes(size))
                size = 1
        if self.lie != "header":
            yield dealer_pb2.KitChunk(header=header)
        if self.lie in NO_CHUNKS:
            yield NO_CHUNKS[self.lie]
        while size > 0:
            yield dealer_pb2.KitChunk(data=bytes(min(size, 1 << 16)))
            size -= 1 << 16

    async def Reveal(self, request: dealer_pb2.RevealRequest, context: object) -> dealer_pb2.RevealResponse:
        return dealer_pb2.RevealResponse()


@pytest.mark.parametrize("lie", ["seed", "tag", "number", "plan", "short", "endless", "late", "header", *NO_CHUNKS])
async def wrong_kit__should_be_unavailable(pki: Path, lie: str) -> None:
    async for channel in served(Liar(lie), pki):
        with pytest.raises(Unavailable, match="the dealer sent"):
            await DealerSource(channel).fetch(SMALL, 1)


async def piece_larger_than_any_message__should_be_refused_by_its_size(pki: Path) -> None:
    async for channel in served(Liar("large"), pki):
        with pytest.raises(ServiceFault, match="larger than max"):
            await DealerSource(channel).fetch(SMALL, 1)


async def nothing_of_what_lay_there_before__should_be_in_a_kit(channel: grpc.aio.Channel) -> None:
    """A party's room for a kit is not cleared first."""
    for plan in (SMALL, PLAN, KitPlan(31, (Section("coin", 3),))):
        dealt = deal_kit(plan, MASTER, 1)
        assert (await DealerSource(channel).fetch(plan, 1)).corrections == b"".join(dealt.part(1))


def dealer_process__should_step_back_keep_its_key_and_say_nothing_of_it(pki: Path, tmp_path: Path) -> None:
    """The real process: priority lowered, the same kits after a restart, no secret in its log, ended by SIGTERM."""
    address = f"localhost:{free_port_base()}"
    key = tmp_path / "master.key"
    names = {f"VISARD_TLS__{part.upper()}": str(pki / file) for part, file in TLS_FILES.items()}
    environment = {**os.environ, **names, "VISARD_LISTEN": address, "VISARD_MASTER_KEY": str(key)}
    kits: list[Fetched] = []
    for _ in range(2):
        command = [sys.executable, "-m", "visard_dealer"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                kits.append(asyncio.run(fetch_when_up(pki, address)))
                assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
                process.send_signal(signal.SIGTERM)
                log, _unused = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
        assert process.returncode == 0
        secrets = [key.read_bytes(), kits[0].keys.own, kits[0].keys.previous]
        assert b"listening" in log
        assert not any(
            form in log for secret in secrets for form in (secret, secret.hex().encode(), repr(secret).encode())
        )
    assert kits[0] == kits[1]
    assert key.stat().st_mode & 0o777 == 0o600


TLS_FILES = {"ca": "ca.pem", "cert": "dealer.pem", "key": "dealer.key"}


async def fetch_when_up(pki: Path, address: str) -> Fetched:
    async with asyncio.timeout(PATIENCE), tls(pki, "party2").channel(address, "dealer") as channel:
        await channel.channel_ready()
        return await DealerSource(channel).fetch(SMALL, 1)
