"""Requests that wait together go through a network together; what becomes of one of them touches no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from visard_common.errors import Unavailable
from visard_engine.describe import describe_each, describe_plan
from visard_engine.errors import InputRefused
from visard_engine.field import M31, Elements
from visard_engine.in_process import local_channels
from visard_engine.kits import deal_kit, dealt_part
from visard_engine.nn.execute import Model
from visard_engine.nn.operations.activations import Relu
from visard_engine.nn.operations.arithmetic import Flatten
from visard_engine.nn.program import Program
from visard_engine.protocols.normalise import unit_bits
from visard_engine.session import Run
from visard_engine.shamir import reconstruct, share
from visard_party.batching.batches import Batches
from visard_party.models import Published
from visard_party.peers.channel import SessionChannel
from visard_party.peers.mailbox import SessionAborted

from tests.party.harness import LinkedParty, linked
from tests.waiting import PATIENCE, until

PROGRAM = Program(31, (1, 5, 7), 0, (Relu(0, 0), Flatten(1)), {"default": 1.0})
PLAN = describe_plan(PROGRAM)
MODEL = Published("face", 1, 1, Model(PROGRAM, np.zeros(0, np.uint32)))
CALL_BYTES = 500  # at most, of what a batch costs beyond its network
SECONDS = 60.0


class Request:
    """One request at all three parties."""

    def __init__(self, parties: list[LinkedParty], number: int, images: int = 1, scale: int = 1) -> None:
        self.pictures = scale * np.random.default_rng(number).integers(-2000, 2000, (images, *PROGRAM.input_shape))
        self.channels = [SessionChannel(party.links, bytes([number]) * 16, SECONDS) for party in parties]
        self.shares = share(M31, M31.encode(self.pictures))
        numbers = range(100 * number, 100 * number + images)
        dealt = [deal_kit(PLAN, bytes(32), 1 + n) for n in numbers]
        self._kits = [[dealt_part(PLAN, 1, d, i, bytes(32)) for d in dealt] for i in range(3)]

    def start(
        self, batches: list[Batches], parties: tuple[int, ...] = (0, 1, 2)
    ) -> list["asyncio.Task[list[Elements]]"]:
        return [asyncio.create_task(self._describe(batches[i], i)) for i in parties]

    async def _describe(self, batches: Batches, i: int) -> list[Elements]:
        channel = self.channels[i]
        try:
            return await batches.describe(channel, self._kits[i], MODEL, self.shares[i])
        except BaseException:
            channel.abort("UNAVAILABLE", "given up")
            raise
        finally:
            channel.close()

    def equals(self, results: list[Any]) -> bool:
        """Whether these are the pictures' positive parts, at length one."""
        found = M31.decode(reconstruct(M31, [np.stack(part) for part in results]))
        plain = np.maximum(0, self.pictures).reshape(len(found), -1)
        expected = plain / np.linalg.norm(plain, axis=1, keepdims=True) * 2 ** unit_bits(31)
        return bool(np.abs(found - expected).max() < 4)


async def alone(images: int) -> tuple[int, int]:
    """Rounds and bytes of party 0, where this many images go through the network and nobody is asked."""
    channels, dealt = local_channels(), [deal_kit(PLAN, bytes(32), 1 + n) for n in range(images)]
    shares = share(M31, M31.encode(np.zeros((images, *PROGRAM.input_shape), np.int64)))

    async def describe(i: int) -> None:
        kits = [dealt_part(PLAN, 1, one, i, bytes(32)) for one in dealt]
        await describe_each(Run(channels[i]), kits, MODEL.model, shares[i])

    await asyncio.gather(*map(describe, range(3)))
    return channels[0].rounds, channels[0].sent_bytes


@asynccontextmanager
async def batching(
    pki: Path, at_once: int = 1, patience: float = 0.0
) -> AsyncIterator[tuple[list[LinkedParty], list[Batches]]]:
    async with linked(pki) as parties:
        yield parties, [Batches(party.links, at_once, SECONDS, 2 * SECONDS, patience) for party in parties]


async def results(tasks: list["asyncio.Task[list[Elements]]"]) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)


async def one_request__should_go_at_once_and_cost_what_its_network_costs(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        request = Request(parties, 1)
        assert request.equals(await results(request.start(batches)))
        rounds, sent_bytes = await alone(1)
        assert {channel.rounds for channel in request.channels} == {rounds}
        assert all(0 <= channel.sent_bytes - sent_bytes < CALL_BYTES for channel in request.channels)


async def requests_that_wait__should_make_one_batch(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        requests = [Request(parties, number) for number in range(1, 6)]
        tasks = [request.start(batches) for request in requests]
        for request, started in zip(requests, tasks, strict=True):
            assert request.equals(await results(started))
        # the first one went alone, the four others in one batch, in as many rounds as one
        assert {request.channels[0].rounds for request in requests} == {(await alone(1))[0]}
        assert len(parties[1].links.sessions.finished) == 5 + 2


async def second_batch__should_begin_when_it_is_full(pki: Path) -> None:
    async with batching(pki, at_once=3, patience=1e6) as (parties, batches):
        batches[0]._queue.under_way = 1  # and does not end
        requests = [Request(parties, number) for number in range(1, 6)]
        tasks = [request.start(batches) for request in requests]
        for request, started in zip(requests[:4], tasks[:4], strict=True):
            assert request.equals(await results(started))
        assert len(batches[0]._queue.waiting) == 1
        batches[0]._queue.under_way = 0
        batches[0]._begin()
        assert requests[4].equals(await results(tasks[4]))


async def second_batch__should_begin_when_its_first_member_has_waited_for_long_enough(pki: Path) -> None:
    async with batching(pki, at_once=2, patience=0.05) as (parties, batches):
        batches[0]._queue.under_way = 1  # and does not end
        request = Request(parties, 1)
        assert request.equals(await results(request.start(batches)))


async def request_of_many_images__should_be_a_batch_alone_and_go_a_part_at_a_time(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        request = Request(parties, 1, images=6)
        assert request.equals(await results(request.start(batches)))
        assert request.channels[0].rounds == (await alone(6))[0] > (await alone(4))[0]


async def caller_that_gives_up__should_not_be_missed(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        requests = [Request(parties, number) for number in range(1, 5)]
        tasks = [request.start(batches) for request in requests]
        await asyncio.sleep(0)  # all have asked
        tasks[1][0].cancel()  # in the leader's queue
        tasks[2][1].cancel()  # at a follower, that was not called yet
        outcomes = [await results(started) for started in tasks]
        assert requests[0].equals(outcomes[0])
        assert requests[3].equals(outcomes[3])
        for k in (1, 2):
            kinds = {type(outcome) for outcome in outcomes[k]}
            assert kinds <= {asyncio.CancelledError, SessionAborted, Unavailable}
            assert asyncio.CancelledError in kinds


async def request_that_has_ended_at_a_party__should_fail_alone(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        first, missing, other = (Request(parties, number) for number in (1, 2, 3))
        missing.channels[2].close()
        tasks = [first.start(batches), missing.start(batches, (0, 1)), other.start(batches)]
        outcomes = [await results(started) for started in tasks]
        assert first.equals(outcomes[0])
        assert other.equals(outcomes[2])
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes[1])


async def request_that_ends_while_others_wait_for_it__should_fail_alone(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        first, missing, other = (Request(parties, number) for number in (1, 2, 3))
        tasks = [first.start(batches), missing.start(batches, (0, 1)), other.start(batches)]
        assert first.equals(await results(tasks[0]))
        await asyncio.sleep(0.1)
        assert not tasks[2][2].done()  # it waits
        missing.channels[2].close()
        assert other.equals(await results(tasks[2]))
        assert all(isinstance(outcome, Unavailable) for outcome in await results(tasks[1]))


async def refused_image__should_fail_its_request_alone(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        requests = [Request(parties, number, scale=10_000 if number == 3 else 1) for number in range(1, 5)]
        requests[1].shares[2][:] += np.uint32(1)  # three points of no line
        tasks = [request.start(batches) for request in requests]
        outcomes = [await results(started) for started in tasks]
        for k in (0, 3):
            assert requests[k].equals(outcomes[k])
        for k, why in ((1, "points of a line"), (2, "pixels from 0 to 255")):
            assert {type(outcome) for outcome in outcomes[k]} <= {InputRefused, SessionAborted}
            assert any(why in str(outcome) for outcome in outcomes[k])


async def lost_party__should_fail_all_members_and_no_later_batch(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        requests = [Request(parties, number) for number in (1, 2)]
        tasks = [request.start(batches, (0, 1)) for request in requests]
        await asyncio.sleep(0.1)
        await parties[2].stop()
        for started in tasks:
            assert all(isinstance(outcome, Exception) for outcome in await results(started))
        await parties[2].start()
        await until(lambda: all(party.links.up() for party in parties))
        again = Request(parties, 3)
        assert again.equals(await results(again.start(batches)))


async def call_that_makes_no_sense__should_fail_its_request_alone(pki: Path) -> None:
    async with batching(pki) as (parties, batches):
        bad, good = Request(parties, 1), Request(parties, 2)
        followers = bad.start(batches, (1, 2))
        await bad.channels[0].exchange(dict.fromkeys((1, 2), b"[]"), ())
        assert {type(outcome).__name__ for outcome in await results(followers)} <= {"ProtocolError", "SessionAborted"}
        assert good.equals(await results(good.start(batches)))
