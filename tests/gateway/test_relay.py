"""Every share reaches its own party as it was sent; whatever goes wrong is told, stops at all parties, and never hangs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visard_common.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.gateway.harness import (
    House,
    chunk,
    eventually,
    header,
    refusal,
    request,
    running,
    small_upload,
    stream,
)

SECONDS = 120.0  # more than PATIENCE: no test passes because the caller gave up


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with running(folder) as house:
        yield house


def data_of(messages: list[common_pb2.Upload]) -> bytes:
    assert [m.chunk.index for m in messages[1:]] == list(range(len(messages) - 1))
    return b"".join(m.chunk.data for m in messages[1:])


async def share__should_reach_its_party_whole_and_no_other(house: House) -> None:
    asked = request()
    shares = [bytes([65 + i]) * (100_000 * (i + 1)) for i in range(3)]
    size = 50_000
    pieces = [
        [chunk(i, k // size, s[k : k + size], last=k + size >= len(s)) for k in range(0, len(s), size)]
        for i, s in enumerate(shares)
    ]
    # the parties' chunks come in an order that has nothing to do with their numbers
    order = [pieces[2].pop(0), pieces[0].pop(0), *pieces[2][:3], *pieces[1], *pieces[2][3:], *pieces[0]]
    await house.matching().Verify(stream([header(asked, map(len, shares)), *order]), timeout=SECONDS)
    for party, share in zip(house.parties, shares, strict=True):
        [messages] = party.uploads
        assert data_of(messages) == share
        assert [info.party for info in messages[0].header.shares] == [party.number]
        assert party.runs == [asked]


async def result__should_hold_the_answers_in_order_of_the_parties(house: House) -> None:
    asked = request()
    result = await house.matching().Verify(stream(small_upload(asked)), timeout=SECONDS)
    assert [sealed.ciphertext for sealed in result.results] == [b"answer 0", b"answer 1", b"answer 2"]
    assert [report.party for report in result.reports] == [0, 1, 2]
    assert result.request_id == asked.request_id


async def upload__should_run_nowhere_when_it_is_cut_off(house: House) -> None:
    asked = request()
    fault = await refusal(house.matching().Verify(stream(small_upload(asked)[:-1]), timeout=SECONDS))
    assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "chunk.last")
    for party in house.parties:
        assert not party.runs
        assert party.cancelled == [asked.request_id]


async def upload__should_be_refused_when_a_chunk_is_out_of_order(house: House) -> None:
    messages = [header(request()), chunk(0, 1, b"abcd", last=True)]
    fault = await refusal(house.matching().Verify(stream(messages), timeout=SECONDS))
    assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "chunk.index")
    assert not any(party.runs for party in house.parties)


async def refusal_of_a_party__should_reach_the_caller_with_its_details(house: House) -> None:
    house.parties[1].deposit_fault = InvalidArgument.of("header.shares.size", "48 bytes for this model")
    # the client has not finished: it waits to send more, and hears the refusal all the same
    fault = await refusal(house.matching().Verify(stream([header(request())], SECONDS), timeout=SECONDS))
    assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "header.shares.size")
    assert fault.allowed == "48 bytes for this model"
    for party in (house.parties[0], house.parties[2]):
        await eventually(party.deposit_ended)
        assert not party.runs


async def retry_info_of_a_party__should_reach_the_caller(house: House) -> None:
    house.parties[0].run_fault = ResourceExhausted("no kit in stock", retry_after=2.5)
    for party in house.parties[1:]:
        party.hang_in = "Run"
    fault = await refusal(house.matching().Verify(stream(small_upload(request())), timeout=SECONDS))
    assert (fault.code, fault.retry_after) == ("RESOURCE_EXHAUSTED", 2.5)


@pytest.mark.parametrize("knows", range(3))
async def cause__should_be_told_rather_than_its_consequences(house: House, knows: int) -> None:
    for party in house.parties:
        party.run_fault = NotFound("subject 'ann'") if party.number == knows else Unavailable("lost a peer")
    fault = await refusal(house.matching().Verify(stream(small_upload(request())), timeout=SECONDS))
    assert (fault.code, fault.message) == ("NOT_FOUND", "subject 'ann'")


@pytest.mark.parametrize("dead", range(3))
async def dead_party__should_be_named(house: House, dead: int) -> None:
    await house.kill(dead)
    fault = await refusal(house.matching().Verify(stream(small_upload(request())), timeout=SECONDS))
    assert fault.code == "UNAVAILABLE"
    assert f"party {dead}" in fault.message
    assert not any(party.runs for party in house.parties)


async def dead_party__should_stop_the_run_of_the_others_and_be_found_again(house: House) -> None:
    for party in house.parties:
        party.hang_in = "Run"
    asked = request()
    call = asyncio.ensure_future(refusal(house.matching().Verify(stream(small_upload(asked)), timeout=SECONDS)))
    for party in house.parties:
        await eventually(party.run_started)
    await house.kill(2)
    fault = await call
    assert fault.code == "UNAVAILABLE"
    assert "party 2" in fault.message
    for party in house.parties[:2]:
        await eventually(party.run_ended)
        assert party.cancelled == [asked.request_id]
        party.hang_in = ""
    await house.restart(2)
    await eventually_answers(house)


async def eventually_answers(house: House) -> None:
    """The gateway's channel finds a restarted party by itself."""
    async with asyncio.timeout(SECONDS):
        while not (await house.matching().GetStatus(gateway_pb2.GetStatusRequest(), timeout=SECONDS)).ready:
            await asyncio.sleep(0.1)
    await house.matching().Verify(stream(small_upload(request())), timeout=SECONDS)


async def run__should_end_at_the_callers_deadline(house: House) -> None:
    for party in house.parties:
        party.hang_in = "Run"
    asked = request()
    fault = await refusal(house.matching().Verify(stream(small_upload(asked)), timeout=5.0))
    assert fault.code == "DEADLINE_EXCEEDED"
    for party in house.parties:
        await eventually(party.run_ended)
        await eventually(lambda party=party: asked.request_id in party.cancelled)  # type: ignore[misc]


async def run__should_stop_everywhere_when_the_caller_goes(house: House) -> None:
    for party in house.parties:
        party.hang_in = "Run"
    asked = request()
    call = house.matching().Verify(stream(small_upload(asked)), timeout=SECONDS)
    for party in house.parties:
        await eventually(party.run_started)
    call.cancel()
    for party in house.parties:
        await eventually(party.run_ended)
        await eventually(lambda party=party: asked.request_id in party.cancelled)  # type: ignore[misc]


async def upload__should_stop_everywhere_when_the_caller_goes(house: House) -> None:
    asked = request()
    call = house.matching().Verify(stream([header(asked)], SECONDS), timeout=SECONDS)
    await call.wait_for_connection()
    await eventually(lambda: all(party.uploads for party in house.parties))
    call.cancel()
    for party in house.parties:
        await eventually(party.deposit_ended)
        await eventually(lambda party=party: asked.request_id in party.cancelled)  # type: ignore[misc]
