"""By whichever protocol the gateway is asked, it does the same: one suite for gRPC, gRPC-Web, Connect and Connect with JSON."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from visard_common.errors import NotFound, ResourceExhausted, ServiceFault
from visard_common.limits import MAX_REQUEST
from visard_wire.limits import CHUNK_BYTES
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.gateway.harness import (
    LONG,
    PATIENCE,
    House,
    Operation,
    chunk,
    eventually,
    header,
    request,
    running,
    small_upload,
    stream,
)
from tests.gateway.protocols import EVERY, Callers, sent

ANY_PORT = "127.0.0.1:0"
VERIFY = "FaceMatching/Verify"
OUTSIDERS = ("dealer", "party0", "gateway")


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with running(folder, http_listen=ANY_PORT) as house:
        yield house


@pytest.fixture(params=EVERY)
async def callers(house: House, request: pytest.FixtureRequest) -> AsyncIterator[Callers]:
    async with Callers(house, request.param) as callers:
        yield callers


async def refused(call: Awaitable[Any]) -> ServiceFault:
    """The fault that a call ends with."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ServiceFault) as caught:
            await call
    return caught.value


def verifying() -> AsyncIterator[Any]:
    return sent(small_upload(request()))


async def status_and_lists__should_be_told(callers: Callers) -> None:
    status = await callers.call("FaceMatching/GetStatus", gateway_pb2.GetStatusRequest(layers=True))
    assert status.ready
    assert [party.models[0].cost.layers[0].kind for party in status.parties] == ["conv"] * 3
    ask = gateway_pb2.ListSubjectsRequest(model="face", page_size=1, page_token="ümlaut")
    page = await callers.call("FaceMatching/ListSubjects", ask)
    assert [(one.subject, one.references) for one in page.subjects] == [("ann", 2)]
    assert page.next_page_token == "after ümlaut"
    keys = await callers.call("FaceMatching/GetParties", gateway_pb2.GetPartiesRequest())
    assert [key.public_key for key in keys.parties] == [bytes([i]) * 32 for i in range(3)]
    log = await callers.call("Admin/AuditLog", gateway_pb2.AuditLogRequest(party=2), role="admin")
    assert log.now_unix_ms == 2


async def deletion__should_run_at_all_parties_as_it_was_signed(callers: Callers) -> None:
    asked = request(Operation.OPERATION_DELETE)
    asked.caller.signature = bytes(range(64))
    envelopes = [common_pb2.SealedEnvelope(key_id=bytes(8), ciphertext=bytes([i])) for i in range(3)]
    answer = await callers.call("FaceMatching/Delete", gateway_pb2.DeleteRequest(request=asked, envelopes=envelopes))
    assert answer.references_deleted == 2
    assert [one.ciphertext for one in answer.results] == [b"answer %d" % i for i in range(3)]
    assert all(party.runs == [asked] for party in callers.house.parties)


async def upload__should_reach_each_party_as_it_was_sent(callers: Callers) -> None:
    asked, size = request(), 3 * CHUNK_BYTES
    pieces = [chunk(i, k, bytes([i, k]) * (CHUNK_BYTES // 2), last=k == 2) for k in range(3) for i in range(3)]
    answer = await callers.call(VERIFY, sent([header(asked, (size,) * 3), *pieces]))
    assert answer.request_id == asked.request_id
    assert [one.ciphertext for one in answer.results] == [b"answer %d" % i for i in range(3)]
    for i, party in enumerate(callers.house.parties):
        assert party.runs == [asked]
        assert party.uploads[0][1:] == [piece for piece in pieces if piece.chunk.party == i]


async def model__should_be_published_by_its_owner_alone(callers: Callers) -> None:
    upload = small_upload(request(Operation.OPERATION_PUBLISH))
    published = await callers.call("ModelRegistry/Publish", sent(upload), role="owner")
    assert published.model.name == "face"
    fault = await refused(callers.call("ModelRegistry/Publish", sent(upload)))
    assert (fault.code, fault.message) == ("PERMISSION_DENIED", "role enroller may not call this: only owner")


async def refusal__should_name_the_field_and_what_is_allowed(callers: Callers) -> None:
    upload = sent(small_upload(request(Operation.OPERATION_ENROL)))
    deletion = gateway_pb2.DeleteRequest(request=request(Operation.OPERATION_VERIFY))
    for name, asked, allowed in ((VERIFY, upload, "VERIFY"), ("FaceMatching/Delete", deletion, "DELETE")):
        fault = await refused(callers.call(name, asked))
        assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "request.operation")
        assert fault.allowed == f"OPERATION_{allowed} for this method"


async def refusal_of_a_party__should_be_told_as_it_is(callers: Callers) -> None:
    callers.house.parties[1].deposit_fault = ResourceExhausted("too many attempts: ünmöglich", retry_after=12.5)
    fault = await refused(callers.call(VERIFY, verifying()))
    assert (fault.code, fault.message) == ("RESOURCE_EXHAUSTED", "too many attempts: ünmöglich")
    assert fault.retry_after == 12.5
    callers.house.parties[1].deposit_fault = None
    callers.house.parties[0].run_fault = NotFound("nobody", field="request.subject", allowed="one who is enrolled")
    fault = await refused(callers.call(VERIFY, verifying()))
    assert (fault.code, fault.field, fault.allowed) == ("NOT_FOUND", "request.subject", "one who is enrolled")


async def deadline__should_end_a_run_at_the_parties(callers: Callers) -> None:
    callers.house.parties[2].hang_in = "Run"
    asked = request()
    fault = await refused(callers.call(VERIFY, sent(small_upload(asked)), seconds=0.8))
    assert fault.code == "DEADLINE_EXCEEDED"
    await eventually(lambda: all(party.cancelled == [asked.request_id] for party in callers.house.parties))


async def caller_that_goes__should_end_its_run(callers: Callers) -> None:
    party = callers.house.parties[0]
    party.hang_in = "Run"
    asked = request()
    call = asyncio.ensure_future(callers.call(VERIFY, sent(small_upload(asked))))
    await eventually(party.run_started)
    call.cancel()
    await eventually(lambda: party.cancelled == [asked.request_id])
    await asyncio.gather(call, return_exceptions=True)


async def message__should_be_refused_when_it_is_too_large(callers: Callers) -> None:
    ask = gateway_pb2.AuditRequest(prefixes=["0" * MAX_REQUEST])
    assert (await refused(callers.call("Admin/Audit", ask, role="admin"))).code == "RESOURCE_EXHAUSTED"
    large = chunk(0, 0, bytes(CHUNK_BYTES + 1))
    fault = await refused(callers.call(VERIFY, sent([header(request(), (CHUNK_BYTES + 1,) * 3), large])))
    assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "chunk.data")
    beyond = chunk(0, 0, bytes(MAX_REQUEST + 1))
    fault = await refused(callers.call(VERIFY, sent([header(request()), beyond])))
    assert fault.code == "RESOURCE_EXHAUSTED"
    assert not any(party.runs for party in callers.house.parties)


async def other_roles__should_be_refused_before_anything_reaches_a_party(callers: Callers) -> None:
    for role in OUTSIDERS:
        fault = await refused(callers.call(VERIFY, verifying(), role=role))
        assert fault.code == "PERMISSION_DENIED"
        assert fault.message.startswith(f"role {role.rstrip('0')} may not call this")
        assert (
            await refused(callers.call("FaceMatching/GetStatus", gateway_pb2.GetStatusRequest(), role=role))
        ).code == ("PERMISSION_DENIED")
    assert not any(party.uploads or party.runs for party in callers.house.parties)


@pytest.mark.parametrize("protocol", EVERY)
async def upload__should_end_when_it_takes_too_long(folder: Path, protocol: str) -> None:
    async with running(folder, http_listen=ANY_PORT, upload_timeout=0.5) as house, Callers(house, protocol) as callers:
        fault = await refused(callers.call(VERIFY, stream(small_upload(request())[:2], LONG)))
        assert fault.code == "DEADLINE_EXCEEDED"
        assert "the upload took longer" in fault.message
        assert not any(party.runs for party in house.parties)


@pytest.mark.parametrize("protocol", EVERY)
async def places__should_be_those_of_both_ports_together(folder: Path, protocol: str) -> None:
    async with running(folder, http_listen=ANY_PORT, max_uploads=1) as house, Callers(house, protocol) as callers:
        house.parties[0].hang_in = "Run"
        first = house.matching().Verify(stream(small_upload(request())), timeout=LONG)
        await eventually(house.parties[0].run_started)
        fault = await refused(callers.call(VERIFY, verifying()))
        assert (fault.code, fault.retry_after) == ("RESOURCE_EXHAUSTED", 1.0)
        first.cancel()


async def fault_of_a_request__should_name_what_no_protocol_could_read(callers: Callers) -> None:
    fault = await refused(callers.call(VERIFY, sent([])))
    assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "header")
