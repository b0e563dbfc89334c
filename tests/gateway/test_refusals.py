"""A refusal reaches a caller who is still writing: none is lost to the write that fails when the call ends."""

from collections.abc import AsyncIterator
from pathlib import Path

from visard_common.errors import InvalidArgument
from visard_wire.v1 import common_pb2

from tests.gateway.harness import LONG, Operation, chunk, eventually, header, refusal, request, running, stream

SECONDS = 120.0  # more than PATIENCE: no test passes because the caller gave up
TRIALS = 25  # without the remedy more than half of the refused roles are lost
PIECES, PIECE = 20, 1 << 16


def large_upload(operation: Operation.ValueType = Operation.OPERATION_VERIFY) -> AsyncIterator[common_pb2.Upload]:
    """Four megabytes: as much as twenty images, and more than the connection takes at once."""
    pieces = [chunk(i, k, bytes(PIECE), last=k == PIECES - 1) for k in range(PIECES) for i in range(3)]
    return stream([header(request(operation), (PIECES * PIECE,) * 3), *pieces])


async def refused_role__should_be_told(folder: Path) -> None:
    async with running(folder) as house:
        stub = house.matching("dealer")
        codes = {(await refusal(stub.Verify(large_upload(), timeout=SECONDS))).code for _ in range(TRIALS)}
    assert codes == {"PERMISSION_DENIED"}


async def refused_publisher__should_be_told(folder: Path) -> None:
    async with running(folder) as house:
        stub = house.registry("client")
        uploads = (large_upload(Operation.OPERATION_PUBLISH) for _ in range(TRIALS))
        codes = {(await refusal(stub.Publish(upload, timeout=SECONDS))).code for upload in uploads}
    assert codes == {"PERMISSION_DENIED"}


async def refused_request__should_be_told_with_its_field(folder: Path) -> None:
    async with running(folder) as house:
        uploads = (large_upload(Operation.OPERATION_ENROL) for _ in range(TRIALS))
        found = [await refusal(house.matching().Verify(upload, timeout=SECONDS)) for upload in uploads]
    assert {(fault.code, fault.field) for fault in found} == {("INVALID_ARGUMENT", "request.operation")}


async def refusal_of_a_party__should_be_told_with_its_field(folder: Path) -> None:
    async with running(folder) as house:
        house.parties[1].deposit_fault = InvalidArgument.of("header.shares.size", "48 bytes")
        found = [await refusal(house.matching().Verify(large_upload(), timeout=SECONDS)) for _ in range(TRIALS)]
    assert {(fault.code, fault.field) for fault in found} == {("INVALID_ARGUMENT", "header.shares.size")}


async def refused_number__should_be_told_with_the_time_to_wait(folder: Path) -> None:
    async with running(folder, max_uploads=1) as house:
        stub = house.matching()
        first = stub.Verify(stream([header(request())], LONG), timeout=SECONDS)
        await eventually(lambda: bool(house.parties[0].uploads))
        found = [await refusal(stub.Verify(large_upload(), timeout=SECONDS)) for _ in range(TRIALS)]
        first.cancel()
    assert {(fault.code, fault.retry_after) for fault in found} == {("RESOURCE_EXHAUSTED", 1.0)}
