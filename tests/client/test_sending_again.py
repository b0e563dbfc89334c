"""What may be sent again is sent again until the deadline, a write under its old id; what was refused is not."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from visard.client import Client
from visard.errors import (
    DeadlineExceeded,
    Deviated,
    Exhausted,
    InternalError,
    InvalidRequest,
    NotFound,
    StaleKey,
    Unreachable,
)
from visard_common import errors as faults

from tests.client.double import LONG, chip, connected, serving


async def service_that_is_exhausted_or_away__should_be_asked_until_the_deadline(folder: Path) -> None:
    """However often: a party that restarts is away for twelve seconds."""
    again = [faults.ResourceExhausted("no kit", retry_after=0.01), faults.Unavailable("party 1 is restarting")]
    async with connected(folder) as (double, client):
        double.faults = [again[0]] * 20 + [again[1]]
        assert (await client.verify("ann", chip(1))).match
        assert double.calls["Verify"] == 22
    async with connected(folder, deadline=0.3) as (double, client):
        double.faults = [again[0]] * 10_000
        with pytest.raises((Exhausted, DeadlineExceeded)):
            await client.enrol("ann", [chip(1)])
    async with connected(folder) as (double, client):
        double.faults = [faults.ResourceExhausted("too many attempts", retry_after=3600)]
        with pytest.raises(Exhausted) as caught:  # nobody waits for what comes after the deadline
            await client.enrol("ann", [chip(1)])
        assert caught.value.retry_after == 3600
    async with connected(folder, retry=False) as (double, client):
        double.faults = [again[0]]
        with pytest.raises(Exhausted):
            await client.verify("ann", chip(1))
        assert double.calls["Verify"] == 1


async def more_requests_than_the_gateway_takes__should_wait_for_their_turn(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.places, double.pause = 4, 0.02
        answers = await asyncio.gather(*(client.verify("ann", chip(1)) for _ in range(40)))
        assert all(answer.match for answer in answers)
        assert double.most_at_a_time <= 4
        assert double.calls["Verify"] == 40


async def nobody_at_the_address__should_be_said_without_waiting_for_the_deadline(folder: Path) -> None:
    async with serving(folder) as (_, connection):
        pass
    async with Client(connection, deadline=600) as client:
        with pytest.raises(Unreachable, match=r"nobody answers at 127\.0\.0\.1.*visard up"):
            await client.status()


async def write__should_keep_its_id_when_its_answer_was_lost(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.faults = [faults.Unavailable("lost a peer")]
        await client.enrol("ann", [chip(1)])
        lost, sent = double.attempts["Enrol"]
        assert lost == sent
        double.faults = [faults.Unavailable("lost a peer")]
        await client.delete("ann")
        lost, sent = double.attempts["Delete"]
        assert lost == sent


async def undone_write__should_be_sent_again_as_a_new_request(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.faults = [faults.Aborted("undone")]
        await client.enrol("ann", [chip(1)])
        undone, sent = double.attempts["Enrol"]
        assert undone.request_id != sent.request_id
        assert undone.subject == sent.subject
        assert list(sent.instead_of) == [undone.request_id]


async def deviation_of_a_party__should_be_met_a_second_time_and_no_more(folder: Path) -> None:
    lied = faults.Deviated("the parties have not seen the same: nothing was decided")
    async with connected(folder) as (double, client):
        double.faults = [lied]
        assert (await client.verify("ann", chip(1))).match
        double.faults = [lied]
        await client.enrol("ann", [chip(1)])
        spoilt, sent = double.attempts["Enrol"]
        assert list(sent.instead_of) == [spoilt.request_id]
        double.calls.clear()
        for call in (lambda: client.verify("ann", chip(1)), lambda: client.enrol("ann", [chip(1)])):
            double.faults = [lied] * 5
            with pytest.raises(Deviated, match="nothing was decided"):
                await call()
            assert len(double.faults) == 3
        double.faults = [lied, faults.Unavailable("lost a peer"), faults.Unavailable("lost a peer")]
        assert (await client.verify("ann", chip(1))).match


async def verification__should_have_a_fresh_id_each_time(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.faults = [faults.Unavailable("lost a peer")]
        await client.verify("ann", chip(1))
        lost, sent = double.attempts["Verify"]
        assert lost.request_id != sent.request_id


REFUSALS = {
    faults.InvalidArgument.of("subject", "letters"): InvalidRequest,
    faults.NotFound("no subject"): NotFound,
    faults.Internal("internal error 1"): InternalError,
}


@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: fault.code)
async def refusal__should_not_be_asked_again(folder: Path, fault: faults.ServiceFault) -> None:
    async with connected(folder) as (double, client):
        await client.verify("ann", chip(1))
        double.faults = [fault]
        with pytest.raises(REFUSALS[fault], match=fault.message):
            await client.verify("ann", chip(1))
    assert double.calls["Verify"] == 2


async def deadline__should_bound_all_attempts_together(folder: Path) -> None:
    async with connected(folder, deadline=30) as (double, client):
        await client.verify("ann", chip(1))
        double.remaining.clear()
        double.faults, double.pause = [faults.Unavailable("lost a peer")], 3.0
        await client.verify("ann", chip(1))
    first, second = double.remaining
    assert second < first - 1  # on the wire it is rounded up to a second


async def deadline__should_cover_what_a_first_call_fetches(folder: Path) -> None:
    async with connected(folder, deadline=0.5) as (double, client):
        double.pause = 0.3  # models, keys and the question itself: each in time, all together not
        with pytest.raises(DeadlineExceeded):
            await client.verify("ann", chip(1))


async def hanging_service__should_end_at_the_deadline(folder: Path) -> None:
    async with connected(folder, deadline=0.5) as (double, client):
        double.pause = LONG
        calls: list[Awaitable[Any]] = [client.status(), client.verify("ann", chip(1)), client.delete("ann")]
        for call in calls:
            async with asyncio.timeout(60):
                with pytest.raises(DeadlineExceeded):
                    await call


async def changed_sealing_key__should_be_fetched_anew_once(folder: Path) -> None:
    async with connected(folder) as (double, client):
        stale = faults.InvalidArgument.of("header.shares.key_id", "the key of party 1: fetch the parties' keys again")
        assert (await client.verify("ann", chip(1))).match
        double.faults = [stale]
        assert (await client.verify("ann", chip(1))).match
        assert double.calls["GetParties"] == 2
        first, second = double.received[-2:]
        assert first.request.request_id != second.request.request_id
        double.faults = [stale, stale]
        with pytest.raises(StaleKey, match="party 1"):
            await client.verify("ann", chip(1))
        assert double.calls["GetParties"] == 3
        double.faults = [faults.InvalidArgument.of("request.subject", "letters")]
        with pytest.raises(InvalidRequest):
            await client.verify("ann", chip(1))
        assert double.calls["GetParties"] == 3
