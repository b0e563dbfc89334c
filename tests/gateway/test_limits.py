"""The gateway's own limits hold: uploads at a time, time for an upload, time for a run, and memory for a slow party."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard_common.errors import ResourceExhausted
from visard_common.identity import Role
from visard_common.limits import LEAST_CHUNK_BYTES
from visard_gateway.admission import Admission
from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties
from visard_gateway.relay import Relay
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.gateway.harness import (
    LONG,
    House,
    Operation,
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


async def upload__should_be_refused_beyond_the_number_allowed(folder: Path) -> None:
    async with running(folder, max_uploads=1) as house:
        matching = house.matching()
        first = matching.Verify(stream([header(request())], LONG), timeout=SECONDS)
        await eventually(lambda: bool(house.parties[0].uploads))
        fault = await refusal(matching.Verify(stream(small_upload(request())), timeout=SECONDS))
        assert fault.code == "RESOURCE_EXHAUSTED"
        assert fault.retry_after is not None
        assert fault.retry_after > 0
        first.cancel()
        await _admitted_again(house)


async def _admitted_again(house: House) -> None:
    """The place of an upload that ended is free for the next."""
    await eventually(lambda: all(party.cancelled for party in house.parties))
    await house.matching().Verify(stream(small_upload(request())), timeout=SECONDS)


async def place__should_be_free_after_uploads_that_failed(folder: Path) -> None:
    async with running(folder, max_uploads=1) as house:
        for broken in ([], [header(request())], [chunk(0, 0, b"abcd")]):
            fault = await refusal(house.matching().Verify(stream(broken), timeout=SECONDS))
            assert fault.code == "INVALID_ARGUMENT"
        await house.matching().Verify(stream(small_upload(request())), timeout=SECONDS)


@pytest.mark.parametrize("sent", [0, 1, 3])
async def upload__should_end_when_it_takes_too_long(folder: Path, sent: int) -> None:
    async with running(folder, upload_timeout=0.5) as house:
        messages = small_upload(request())[:sent]
        fault = await refusal(house.matching().Verify(stream(messages, LONG), timeout=SECONDS))
        assert fault.code == "DEADLINE_EXCEEDED"
        assert "the upload took longer" in fault.message  # the gateway's limit, not the caller's
        for party in house.parties:
            assert not party.runs
            if party.uploads:
                await eventually(party.deposit_ended)


async def run__should_end_when_it_takes_too_long(folder: Path) -> None:
    async with running(folder, run_timeout=0.5) as house:
        house.parties[1].hang_in = "Run"
        asked = request()
        fault = await refusal(house.matching().Verify(stream(small_upload(asked)), timeout=SECONDS))
        assert fault.code == "DEADLINE_EXCEEDED"
        assert house.parties[1].cancelled == [asked.request_id]


async def deposit__should_end_when_a_party_hangs(folder: Path) -> None:
    async with running(folder, upload_timeout=0.5) as house:
        house.parties[2].hang_in = "Deposit"
        fault = await refusal(house.matching().Verify(stream(small_upload(request())), timeout=SECONDS))
        assert fault.code == "DEADLINE_EXCEEDED"


class DeafStub:
    """A party that takes nothing."""

    async def Deposit(self, uploads: AsyncIterator[common_pb2.Upload], timeout: float) -> None:
        await asyncio.sleep(LONG)

    async def Cancel(self, asked: Any, timeout: float) -> None:
        return None


async def memory__should_hold_a_few_chunks_for_a_slow_party(folder: Path) -> None:
    async with running(folder) as house:
        config = GatewayConfig(
            listen="127.0.0.1:0", tls=house.tls("gateway"), parties=("a:1", "b:1", "c:1"), upload_timeout=3.0
        )
        parties = Parties(config.parties, config.tls)
        parties.stub = lambda party: cast(Any, DeafStub())  # type: ignore[method-assign]
        taken = 0

        async def endless() -> AsyncIterator[common_pb2.Upload]:
            nonlocal taken
            yield header(request(), (1 << 30, 1 << 20, 1 << 20))
            for index in range(1000):
                taken += 1
                yield chunk(0, index, bytes(LEAST_CHUNK_BYTES))

        with pytest.raises(Exception, match="the upload took longer"):
            await Relay(config, parties).handle(endless(), Operation.OPERATION_VERIFY, SECONDS, Role("enroller"))
        await parties.close()
        assert 0 < taken < 10


async def caller__should_not_take_every_place(folder: Path) -> None:
    async with running(folder, max_uploads=3, max_uploads_per_caller=1) as house:
        first = house.matching().Verify(stream([header(request())], LONG), timeout=SECONDS)
        await eventually(lambda: bool(house.parties[0].uploads))
        fault = await refusal(house.matching().Verify(stream(small_upload(request())), timeout=SECONDS))
        assert (fault.code, fault.retry_after) == ("RESOURCE_EXHAUSTED", 1.0)
        assert "of this caller" in fault.message
        deletion = gateway_pb2.DeleteRequest(request=request(Operation.OPERATION_DELETE))
        assert (await refusal(house.matching().Delete(deletion, timeout=SECONDS))).code == "RESOURCE_EXHAUSTED"
        await house.matching("owner").Verify(stream(small_upload(request())), timeout=SECONDS)  # another caller has
        first.cancel()
        await _admitted_again(house)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def places__should_never_be_more_than_allowed_and_all_come_back(steps: list[tuple[int, bool]]) -> None:
    admission, held = Admission(4, 2), list[tuple[Role, ExitStack]]()
    for number, comes in steps:
        role = Role("enroller", str(number))
        if comes:
            places = ExitStack()
            mine = sum(other == role for other, _ in held)
            if len(held) >= 4 or mine >= 2:
                with pytest.raises(ResourceExhausted):
                    places.enter_context(admission.of(role))
            else:
                places.enter_context(admission.of(role))
                held.append((role, places))
        elif held:
            held.pop(number % len(held))[1].close()
        assert admission.active == len(held)
    for _, places in held:
        places.close()
    assert admission.active == 0
    with admission.of(Role("enroller", "0")):
        assert admission.active == 1
