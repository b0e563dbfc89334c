"""A party that deviates spoils the run in which it lies and nothing else; all three write down what they have seen of it."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from visard_common.errors import Deviated
from visard_engine.errors import CheckFailed, ProtocolError, ViewsDiffer
from visard_engine.views import VIEW_BYTES
from visard_party.faults import fault_of
from visard_party.metrics import DEVIATIONS
from visard_party.peers.channel import SessionChannel
from visard_party.peers.evidence import KINDS
from visard_party.peers.mailbox import SessionAborted
from visard_wire.v1 import peer_pb2

from tests.attacks.lying import Lie, lying
from tests.party.harness import linked
from tests.party.test_batches import Request, alone, batching, results
from tests.waiting import until

SESSION = b"d" * 16
Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def deviations() -> Iterator[Callable[[], Lines]]:
    """What the three parties, all in this process, have logged of deviations; each line is counted."""

    def count() -> float:
        return float(sum(DEVIATIONS.labels(kind)._value.get() for kind in KINDS))

    before = count()
    with capture_logs() as lines:

        def found() -> Lines:
            return [line for line in lines if line["event"] == "a party deviates"]

        yield found
    assert count() - before == len(found())


def let_lie(monkeypatch: pytest.MonkeyPatch, party: int, lie: Lie) -> list[Lie]:
    """One of the three lies once; what it has told."""
    told: list[Lie] = []
    exchange = lying(lambda channel: lie if channel.party == party and not told else None, told.append)
    monkeypatch.setattr(SessionChannel, "exchange", exchange)
    return told


@pytest.mark.parametrize("liar", [0, 1, 2])
@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize(
    ("at", "place"), [(1, -1), (2, -1), (3, 0), (5, -1), (8, -1), (11, -1), (12, -1), (13, -1), (14, -1), (15, -1)]
)
async def lie__should_spoil_its_run_alone_and_be_written_down_by_all_three(
    pki: Path,
    monkeypatch: pytest.MonkeyPatch,
    deviations: Callable[[], Lines],
    liar: int,
    side: int,
    at: int,
    place: int,
) -> None:
    """Also in the last round of all, when one party has its answer already: then the other does not give one."""
    assert (await alone(1))[0] == 15
    told = let_lie(monkeypatch, liar, Lie((liar + side) % 3, at, place))
    async with batching(pki) as (parties, batches):
        request, later = Request(parties, 1), Request(parties, 2)
        outcomes = await results(request.start(batches))
        assert told
        spoilt = [outcomes[k] for k in range(3) if k != liar and isinstance(outcomes[k], Exception)]
        assert spoilt
        assert all(isinstance(fault_of(error), Deviated) for error in spoilt)
        assert later.equals(await results(later.start(batches)))
        await until(lambda: len(deviations()) == 3)
    lines = deviations()
    assert len({line["session"] for line in lines}) == 1
    # after the last product the next party hears nothing until all agree, and that message tells no view
    in_the_end = at == 15 or (side == 1 and at >= 9)
    allowed = {"message"} if in_the_end else {"views", "check"} if at == 12 else {"views"}
    assert {line["kind"] for line in lines} <= allowed
    for line in lines:
        rounds = line["rounds"]
        assert [one["round"] for one in rounds] == [rounds[0]["round"] + k for k in range(len(rounds))]
        assert all({"round", "opening", "sent", "received"} == set(one) for one in rounds)
        digests = [text for one in rounds for k in ("sent", "received") for text in one[k].values()]
        assert all(re.fullmatch(r"[0-9a-f]{32}", text) for text in digests)
    json.dumps(lines)


async def evidence__should_show_which_message_two_parties_speak_differently_of(
    pki: Path, monkeypatch: pytest.MonkeyPatch, deviations: Callable[[], Lines]
) -> None:
    """What a liar says it has sent is not what was received; all else fits. Here it writes down what it should have sent."""
    let_lie(monkeypatch, 1, Lie(0, 4))
    async with batching(pki) as (parties, batches):
        await results(Request(parties, 1).start(batches))
        await until(lambda: len(deviations()) == 3)
    assert [line["kind"] for line in deviations()] == ["views"] * 3
    told = {(one["round"], line["party"]): one for line in deviations() for one in line["rounds"]}
    pairs = {
        (sender, peer)
        for (number, sender), one in told.items()
        for peer, digest in one["sent"].items()
        if (number, peer) in told and told[number, peer]["received"][sender] != digest
    }
    assert pairs == {(1, 0)}


async def message_of_another_size__should_be_a_deviation(
    pki: Path, monkeypatch: pytest.MonkeyPatch, deviations: Callable[[], Lines]
) -> None:
    let_lie(monkeypatch, 2, Lie(1, 4, cut=True))
    async with batching(pki) as (parties, batches):
        outcomes = await results(Request(parties, 1).start(batches))
        assert {str(fault_of(outcome)) for outcome in outcomes} == {
            "a party sent what does not belong there: nothing was decided"
        }
        await until(lambda: len(deviations()) == 3)
    assert [line["kind"] for line in deviations()] == ["message"] * 3
    assert {line["noticed_by"] for line in deviations()} == {1}


async def check_that_fails__should_be_a_deviation(
    pki: Path, monkeypatch: pytest.MonkeyPatch, deviations: Callable[[], Lines]
) -> None:
    async def fail(*_: object) -> None:
        raise CheckFailed("a product is not what was opened of it")

    async with batching(pki) as (parties, batches):
        with monkeypatch.context() as patched:
            patched.setattr("visard_engine.describe.verify", fail)
            outcomes = await results(Request(parties, 1).start(batches))
        assert {str(fault_of(outcome)) for outcome in outcomes} == {
            "what the parties computed does not pass their check: nothing was decided"
        }
        later = Request(parties, 2)
        assert later.equals(await results(later.start(batches)))
    assert [line["kind"] for line in deviations()] == ["check"] * 3


async def requests_that_ride_together__should_be_spoilt_together_and_those_that_wait_be_served(
    pki: Path, monkeypatch: pytest.MonkeyPatch, deviations: Callable[[], Lines]
) -> None:
    async with batching(pki) as (parties, batches):
        requests = [Request(parties, number) for number in range(1, 8)]  # one, four, two
        ride = requests[1:5]
        told: list[Lie] = []
        riding: set[bytes] = set()

        def find(channel: SessionChannel) -> Lie | None:
            """In the second batch: its session is none of the requests', nor that of the first."""
            if channel.views.digest != bytes(VIEW_BYTES):
                riding.add(channel.session)
            return Lie(1, 3) if channel.party == 2 and len(riding) == 2 and not told else None

        monkeypatch.setattr(SessionChannel, "exchange", lying(find, told.append))
        tasks = [request.start(batches) for request in requests]
        outcomes = [await results(started) for started in tasks]
        for request, outcome in zip(requests, outcomes, strict=True):
            if request in ride:
                assert all(isinstance(fault_of(one), Deviated) for one in outcome)
            else:
                assert request.equals(outcome)
        await until(lambda: len(deviations()) == 3)


async def accusation_after_the_end__should_show_the_evidence_once(pki: Path, deviations: Callable[[], Lines]) -> None:
    async with linked(pki) as parties:
        channels = [SessionChannel(party.links, SESSION, 60) for party in parties]
        await asyncio.gather(*(channel.compare("thing", b"same") for channel in channels))
        channels[0].close()
        for _ in range(2):
            channels[1].abort("ABORTED", "of me they say", deviation="views")
            channels[1].abort("ABORTED", "too many kinds", deviation="a kind of its own")
        channels[1].close()
        with pytest.raises(SessionAborted):
            await channels[2].exchange({}, (1,))
        channels[2].close()
        await until(lambda: len(deviations()) == 2)
        fresh = [SessionChannel(party.links, bytes(16), 60) for party in parties]  # after all that was sent before
        await asyncio.gather(*(channel.compare("thing", b"same") for channel in fresh))
    assert [(line["kind"], line["noticed_by"], len(line["rounds"])) for line in deviations()] == [("views", 1, 1)] * 2


async def nonsense_on_a_link__should_end_it_and_be_a_deviation(pki: Path, deviations: Callable[[], Lines]) -> None:
    async with linked(pki) as parties:
        pieces = [peer_pb2.Message(session=SESSION, counter=k, payload=b"x", more=True) for k in (1, 2)]
        for piece in pieces:
            parties[0].links.link(1).send(peer_pb2.Frame(message=piece))
        await until(lambda: len(deviations()) == 1)
        await until(lambda: all(party.links.up() for party in parties))
    (line,) = deviations()
    assert (line["kind"], line["noticed_by"]) == ("message", 1)
    assert "from party 0" in line["reason"]


@pytest.mark.parametrize(
    "error",
    [ViewsDiffer("relu", 7, 2), CheckFailed("x"), ProtocolError("party 2 sent 5 bytes"),
     SessionAborted("NOT_FOUND", "party 2 is to blame", None, "check", 1)],
)  # fmt: skip
def caller__should_not_be_told_whom_anybody_accuses(error: Exception) -> None:
    fault = fault_of(error, "party 1")
    assert isinstance(fault, Deviated)
    assert "nothing was decided" in fault.message
    assert not re.search(r"party \d|0101|0202", fault.message)
