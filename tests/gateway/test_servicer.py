"""Who may call what, and what the gateway makes of three answers: agreement, or the truth about who is away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from visard_common.errors import NotFound, Unavailable
from visard_wire.v1 import gateway_pb2

from tests.gateway.harness import House, Operation, eventually, refusal, request, running, small_upload, stream

SECONDS = 120.0  # more than PATIENCE: no test passes because the caller gave up
OUTSIDERS = ("dealer", "party0", "gateway")


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with running(folder) as house:
        yield house


def upload(operation: Any) -> AsyncIterator[Any]:
    return stream(small_upload(request(operation)))


def asked(method: str) -> Any:
    """A request for each method that takes one message."""
    return {
        "Delete": gateway_pb2.DeleteRequest(request=request(Operation.OPERATION_DELETE)),
        "ListSubjects": gateway_pb2.ListSubjectsRequest(model="face"),
        "GetStatus": gateway_pb2.GetStatusRequest(),
        "GetParties": gateway_pb2.GetPartiesRequest(),
    }[method]


@pytest.mark.parametrize("role", OUTSIDERS)
async def matching__should_be_closed_to_other_roles(house: House, role: str) -> None:
    stub = house.matching(role)
    for name in ("Enrol", "Verify", "Identify", "Compare"):
        fault = await refusal(getattr(stub, name)(upload(Operation.OPERATION_VERIFY), timeout=SECONDS))
        assert fault.code == "PERMISSION_DENIED"
    for name in ("Delete", "ListSubjects", "GetStatus", "GetParties"):
        assert (await refusal(getattr(stub, name)(asked(name), timeout=SECONDS))).code == "PERMISSION_DENIED"
    assert not any(party.uploads or party.runs for party in house.parties)


@pytest.mark.parametrize("role", [*OUTSIDERS, "client"])
async def publishing__should_be_closed_to_all_but_owners(house: House, role: str) -> None:
    fault = await refusal(house.registry(role).Publish(upload(Operation.OPERATION_PUBLISH), timeout=SECONDS))
    assert fault.code == "PERMISSION_DENIED"
    assert not any(party.uploads for party in house.parties)


async def owner__should_publish_and_match(house: House) -> None:
    published = await house.registry().Publish(upload(Operation.OPERATION_PUBLISH), timeout=SECONDS)
    assert published.model.name == "face"
    await house.matching("owner").Verify(upload(Operation.OPERATION_VERIFY), timeout=SECONDS)


METHODS = {
    "Enrol": Operation.OPERATION_ENROL,
    "Verify": Operation.OPERATION_VERIFY,
    "Identify": Operation.OPERATION_IDENTIFY,
    "Compare": Operation.OPERATION_COMPARE,
    "Migrate": Operation.OPERATION_MIGRATE,
}


@pytest.mark.parametrize("method", METHODS)
async def method__should_take_its_own_operation_and_no_other(house: House, method: str) -> None:
    call = getattr(house.matching(), method)
    await call(upload(METHODS[method]), timeout=SECONDS)
    for name, operation in METHODS.items():
        if name != method:
            fault = await refusal(call(upload(operation), timeout=SECONDS))
            assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "request.operation")
    assert [r.operation for r in house.parties[0].runs] == [METHODS[method]]


async def status__should_say_who_does_not_answer(house: House) -> None:
    status = await house.matching().GetStatus(asked("GetStatus"), timeout=SECONDS)
    assert status.ready
    assert not status.parties[0].models[0].cost.layers
    layered = await house.matching().GetStatus(gateway_pb2.GetStatusRequest(layers=True), timeout=SECONDS)
    assert layered.parties[0].models[0].cost.layers
    house.parties[0].hang_in = "GetStatus"
    await house.kill(2)
    status = await house.matching().GetStatus(asked("GetStatus"), timeout=SECONDS)
    assert not status.ready
    assert [party.party for party in status.parties] == [0, 1, 2]
    assert [party.ready for party in status.parties] == [False, True, False]
    assert "party 0" in status.parties[0].reason
    assert "party 2" in status.parties[2].reason


async def keys__should_come_in_order_of_the_parties(house: House) -> None:
    keys = (await house.matching().GetParties(asked("GetParties"), timeout=SECONDS)).parties
    assert [(key.party, key.public_key) for key in keys] == [(i, bytes([i]) * 32) for i in range(3)]
    await house.kill(1)
    fault = await refusal(house.matching().GetParties(asked("GetParties"), timeout=SECONDS))
    assert fault.code == "UNAVAILABLE"
    assert "party 1" in fault.message


async def subjects__should_be_listed_only_when_all_parties_agree(house: House) -> None:
    ask = gateway_pb2.ListSubjectsRequest(model="face", page_size=1, page_token="al")
    page = await house.matching().ListSubjects(ask, timeout=SECONDS)
    assert [subject.subject for subject in page.subjects] == ["ann"]
    assert page.next_page_token == "after al"
    house.parties[1].subjects = [gateway_pb2.Subject(subject="ann", references=3)]
    fault = await refusal(house.matching().ListSubjects(ask, timeout=SECONDS))
    assert fault.code == "UNAVAILABLE"


async def models__should_be_listed_only_when_all_parties_agree(house: House) -> None:
    ask = gateway_pb2.ListModelsRequest()
    assert [m.name for m in (await house.registry("client").ListModels(ask, timeout=SECONDS)).models] == ["face"]
    assert not (await house.registry("client").ListModels(ask, timeout=SECONDS)).models[0].cost.layers
    ask.layers = True
    assert (await house.registry("client").ListModels(ask, timeout=SECONDS)).models[0].cost.layers
    house.parties[2].models = []
    assert (await refusal(house.registry("client").ListModels(ask, timeout=SECONDS))).code == "UNAVAILABLE"


async def deletion__should_run_at_all_parties(house: House) -> None:
    ask = asked("Delete")
    answer = await house.matching().Delete(ask, timeout=SECONDS)
    assert answer.references_deleted == 2
    assert all(party.runs == [ask.request] for party in house.parties)


async def deletion__should_tell_a_fault_and_stop_the_others(house: House) -> None:
    house.parties[0].run_fault = NotFound("subject 'ann' is not enrolled")
    house.parties[1].run_fault = Unavailable("stopped")
    house.parties[2].hang_in = "Run"
    fault = await refusal(house.matching().Delete(asked("Delete"), timeout=SECONDS))
    assert fault.code == "NOT_FOUND"
    await eventually(house.parties[2].run_ended)


async def deletion__should_refuse_a_request_for_something_else(house: House) -> None:
    ask = gateway_pb2.DeleteRequest(request=request(Operation.OPERATION_VERIFY))
    fault = await refusal(house.matching().Delete(ask, timeout=SECONDS))
    assert (fault.code, fault.field) == ("INVALID_ARGUMENT", "request.operation")
    assert not any(party.runs for party in house.parties)
