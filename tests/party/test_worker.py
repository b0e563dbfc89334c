"""A worker's side of it: what it is told, what it keeps for a run, whose kits it uses, and with whom it talks."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from visard_common.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unavailable
from visard_engine.errors import ProtocolError
from visard_party.kits.ledger import MAX_NUMBER, first_number, kit_id
from visard_party.kits.source import DealerSource
from visard_party.runs.agreement import Proposal, Terms, decode_proposal, encode
from visard_party.spread import MAX_WORKERS
from visard_party.store.contents import Change, Place, Reference
from visard_party.store.sqlite import SqliteStore
from visard_party.worker import holding
from visard_party.worker.holding import MOST_VIEWS, Holding
from visard_party.worker.servicer import WorkerServicer
from visard_party.worker.working import Working
from visard_wire.secret import Secret
from visard_wire.v1 import dealer_pb2, worker_pb2

from tests.party.auditors import TINY
from tests.party.harness import linked
from tests.waiting import until

PLACE = Place("face")


def reference(number: int, subject: str = "ada") -> Reference:
    """Its id begins with its number, so that it says in which part it is."""
    share = Secret(number.to_bytes(4, "little") * 4)
    return Reference(f"{number:032x}"[::-1], subject, "face", 1, 1, 1, 0, b"", share, "me")


async def written(store: SqliteStore, change: Change, number: int) -> list[str]:
    """Make a write at a store, and say what it has touched."""
    request_id = number.to_bytes(16, "big")
    await store.stage(request_id, change, b"digest")
    await store.commit(request_id)
    return [row.reference_id for row in change.add] + list(change.erase)


def asking(
    session: int = 1, workers: int = 2, changed: list[str] | None = None, without: str = ""
) -> worker_pb2.HoldRequest:
    told = worker_pb2.TellRequest(changed=changed or [])
    return worker_pb2.HoldRequest(
        session=session.to_bytes(16, "big"),
        model="face",
        gallery=PLACE.gallery,
        field_bits=31,
        workers=workers,
        at_unix_ms=5,
        without=without,
        told=told,
    )


async def holds(store: SqliteStore, ordinal: int = 0) -> Holding:
    return Holding(ordinal, store, 60.0)


@pytest.fixture
async def pair(tmp_path: Path) -> tuple[SqliteStore, SqliteStore]:
    """The party's store, and the same as a worker reads it."""
    own = await SqliteStore.open(tmp_path, 0)
    return own, await SqliteStore.open(tmp_path, 0, reads_only=True)


async def part__should_be_held_and_follow_what_is_told(pair: tuple[SqliteStore, SqliteStore]) -> None:
    store, read = pair
    await written(store, Change(tuple(reference(k) for k in range(1, 9))), 1)
    one, two = await holds(read, 0), await holds(read, 1)
    rows = [await one.hold(asking()), await two.hold(asking())]
    assert sorted(name.reference_id for part in rows for name in part.names) == sorted(
        reference(k).reference_id for k in range(1, 9)
    )
    assert (len(rows[0]), len(rows[1])) == (7, 1)  # 1 to 7 begin with a digit below 8
    touched = await written(store, Change((reference(15, "bob"),), (reference(1).reference_id,)), 2)
    assert len(await one.hold(asking(2))) == 7, "it was told nothing yet"
    rows = [await one.hold(asking(3, changed=touched)), await two.hold(asking(3, changed=touched))]
    assert (len(rows[0]), len(rows[1])) == (6, 2)
    assert [len(await held.hold(asking(4, without="bob"))) for held in (one, two)] == [6, 1]
    everything = asking(5)
    everything.told.everything = True
    assert len(await one.hold(everything)) == 6


async def view__should_stay_as_it_was_and_be_taken_once(pair: tuple[SqliteStore, SqliteStore]) -> None:
    store, read = pair
    await written(store, Change((reference(1),)), 1)
    held = await holds(read)
    rows = await held.hold(asking(1))
    touched = await written(store, Change(erase=(reference(1).reference_id,)), 2)
    assert not await held.hold(asking(2, changed=touched))
    assert held.taken((1).to_bytes(16, "big")).rows is rows
    with pytest.raises(Unavailable, match="no longer"):
        held.taken((1).to_bytes(16, "big"))


async def views__should_be_few_and_end_with_their_runs(
    pair: tuple[SqliteStore, SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read = pair
    held = await holds(read)
    for number in range(2 * MOST_VIEWS):  # of nothing: none is kept
        await held.hold(asking(number))
    touched = await written(store, Change((reference(1),)), 1)
    await held.hold(asking(0, changed=touched))
    for number in range(1, MOST_VIEWS):
        await held.hold(asking(number))
    with pytest.raises(Unavailable, match="too many"):
        await held.hold(asking(MOST_VIEWS))
    held.hear(worker_pb2.TellRequest(ended=[(7).to_bytes(16, "big")]))
    await held.hold(asking(MOST_VIEWS))
    with pytest.raises(Unavailable, match="no longer"):
        held.taken((7).to_bytes(16, "big"))
    now = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: now)
    await held.hold(asking(MOST_VIEWS + 1))
    with pytest.raises(Unavailable, match="no longer"):
        held.taken((3).to_bytes(16, "big"))


async def another_number_of_workers__should_be_another_part_beside_the_first(
    pair: tuple[SqliteStore, SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read = pair
    await written(store, Change(tuple(reference(k) for k in range(1, 9))), 1)
    held = await holds(read)
    assert [len(await held.hold(asking(k, workers=k))) for k in (1, 2, 3)] == [8, 7, 5]
    assert held.references == 20
    now = time.monotonic() + holding.IDLE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: now)
    await held.hold(asking(9, workers=3))
    monkeypatch.setattr(type(read), "models", models_with_face)
    await held.look()
    assert held.references == 5


async def models_with_face(_: SqliteStore) -> list[str]:
    return ["face"]


async def store_that_is_read__should_not_be_written(pair: tuple[SqliteStore, SqliteStore]) -> None:
    store, read = pair
    await written(store, Change((reference(1),)), 1)
    with pytest.raises(Exception, match="store"):
        await read.stage(b"2".ljust(16), Change((reference(2),)), b"digest")
    assert len(await store.gallery(PLACE)) == len(await read.gallery(PLACE)) == 1


def kit_ids__should_never_be_those_of_another_worker() -> None:
    numbers = [1, first_number(1), first_number(2**32 - 1), MAX_NUMBER]
    spans = [[kit_id(number, worker) for number in numbers] for worker in range(MAX_WORKERS + 1)]
    flat = [one for span in spans for one in span]
    assert flat == sorted(set(flat))
    assert flat[-1] < 1 << 62, "as the dealer has them"
    for wrong in (0, MAX_NUMBER + 1, 1 << 57):
        with pytest.raises(ValueError, match="numbered"):
            kit_id(wrong, 1)


async def leader_that_names_numbers_out_of_range__should_reach_no_other_workers_kits(tmp_path: Path) -> None:
    """Or what one process of a party uses, another would have the dealer show."""
    asked: list[int] = []

    class Stub:
        async def Reveal(self, request: dealer_pb2.RevealRequest, timeout: float) -> dealer_pb2.RevealResponse:
            asked.append(request.id)
            return dealer_pb2.RevealResponse()

    async with grpc.aio.insecure_channel("localhost:1") as channel:
        for worker in (0, 1, MAX_WORKERS):
            source = DealerSource(channel, worker)
            source._stub = cast(Any, Stub())
            for number in (MAX_NUMBER + 1, 1 << 57, 0):
                with pytest.raises(Unavailable, match="numbered"):
                    await source.fetch(TINY, number)
                with pytest.raises(Unavailable, match="numbered"):
                    await source.reveal(TINY, number)
            for number in (1, MAX_NUMBER):
                assert await source.reveal(TINY, number) is None
    assert len(set(asked)) == len(asked) == 6
    terms = Terms("", "", "", "", ("00",))
    for number, good in ((MAX_NUMBER, True), (MAX_NUMBER + 1, False)):
        message = encode(Proposal(terms, (number,), "", "key"))
        if good:
            assert decode_proposal(message).kits == (number,)
        else:
            with pytest.raises(ProtocolError):
                decode_proposal(message)


async def links__should_be_to_the_like_alone(pki: Path) -> None:
    async with linked(pki, workers=(0, 0, 2)) as parties:
        await until(lambda: 2 in parties[0].links.refusals)
        assert "worker 1" in parties[0].links.refusals[2]
        await until(lambda: parties[0].links.connected(1))
        assert not parties[0].links.connected(2)


class Calling:
    """What a servicer sees of a call: who it is by its certificate."""

    def __init__(self, role: str) -> None:
        self._role = role

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_subject_alternative_name": [f"visard://{self._role}".encode()]}

    def time_remaining(self) -> float | None:
        return None


@pytest.fixture
def vouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls is who its certificate says: tests/trust is about that."""
    monkeypatch.setattr("visard_common.identity.check_peer", lambda *_: None)


@pytest.mark.usefixtures("vouched")
@pytest.mark.parametrize("role", ["party/1", "gateway", "dealer", "admin"])
async def whoever_is_not_its_party__should_be_refused_by_a_worker(role: str) -> None:
    working: Any = SimpleNamespace(config=SimpleNamespace(index=0, ordinal=1, run_timeout=60.0))
    servicer, context = WorkerServicer(working), cast(Any, Calling(role))

    async def nothing() -> AsyncIterator[worker_pb2.DescribeRequest]:
        yield worker_pb2.DescribeRequest()

    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: servicer.Tell(worker_pb2.TellRequest(), context),
        lambda: servicer.Hold(asking(), context),
        lambda: servicer.Search(worker_pb2.SearchRequest(), context),
        lambda: servicer.Describe(nothing(), context),
    ]
    assert len(calls) == len(worker_pb2.DESCRIPTOR.services_by_name["Worker"].methods)
    for call in calls:
        with pytest.raises(PermissionDenied, match=r"may (not )?call"):
            await call()


def servicer_of(config: Any) -> WorkerServicer:
    return WorkerServicer(Working(config, cast(Any, None), cast(Any, None), cast(Any, None)))


@pytest.mark.usefixtures("vouched")
async def worker_at_the_address_of_another__should_refuse() -> None:
    """Or two might answer for one part, and nobody for the other."""
    servicer = servicer_of(SimpleNamespace(index=0, ordinal=1, run_timeout=60.0))
    context = cast(Any, Calling("party/0"))
    for call in (lambda: servicer.Tell(worker_pb2.TellRequest(), context), lambda: servicer.Hold(asking(), context)):
        with pytest.raises(FailedPrecondition, match="address of worker 0 of party 0 is its worker 1"):
            await call()


@pytest.mark.usefixtures("vouched")
@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("session", worker_pb2.HoldRequest(workers=2, field_bits=31)),
        ("workers", worker_pb2.HoldRequest(session=bytes(16), workers=1, field_bits=31)),
        ("workers", worker_pb2.HoldRequest(session=bytes(16), workers=MAX_WORKERS + 1, field_bits=31)),
        ("field_bits", worker_pb2.HoldRequest(session=bytes(16), workers=2, field_bits=30)),
    ],
)
async def request_that_makes_no_sense__should_be_refused_by_name(field: str, request_: worker_pb2.HoldRequest) -> None:
    config = SimpleNamespace(index=0, ordinal=1, run_timeout=60.0)
    request_.told.ordinal = 1
    with pytest.raises(InvalidArgument) as caught:
        await servicer_of(config).Hold(request_, cast(Any, Calling("party/0")))
    assert caught.value.field == field
