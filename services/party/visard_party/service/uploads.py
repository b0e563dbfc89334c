"""Shares on their way in: checked, opened, and left with the deposits until their run."""

import time
from collections.abc import AsyncIterator

from visard_common import logs
from visard_common.errors import DeadlineExceeded, InvalidArgument
from visard_common.operations import DECLARED
from visard_wire.v1 import common_pb2

from visard_party.intake import requests
from visard_party.intake.deposits import Assembly, Deposit, check_key, expect, unseal, unseal_envelope
from visard_party.intake.sealingfiles import SealingKey
from visard_party.models import parse_program
from visard_party.service.party import Party

Uploads = AsyncIterator[common_pb2.Upload]


async def take(party: Party, uploads: Uploads) -> Deposit:
    """This party's share of a request, kept until its run; raises ServiceFault. Deposits whose time is over are let go."""
    first = await anext(aiter(uploads), None)
    if first is None or not first.HasField("header"):
        raise InvalidArgument.of("header", "the first message of an upload")
    header, now = first.header, int(time.time() * 1000)
    logs.about(header.request.request_id)
    requests.check(header.request, now)
    caller = party.intake.callers.signed(header.request)
    for dropped in party.intake.deposits.purge(now):
        await party.audit.note(dropped.request, dropped.caller, DeadlineExceeded.code)
    # of a request that a caller has signed what is refused here is noted; the rest when it has run
    async with party.audit.noting(header.request, caller, failures_only=True):
        party.intake.callers.admit(caller, header.request.operation)
        return await _kept(party, header, uploads, caller)


async def _kept(party: Party, header: common_pb2.UploadHeader, uploads: Uploads, caller: str) -> Deposit:
    # else a party with an empty store would say that there is no such model
    party.consistency.watch.require_agreement()
    key = party.intake.keys.named(header.shares[0].key_id if header.shares else b"")
    at_most = DECLARED[header.request.operation].message_bytes > 0
    assembly = expect(header, party.config.index, key.public, await _share_bytes(party, header), at_most=at_most)
    deposits, size = party.intake.deposits, assembly.info.size
    deposits.reserve(size)
    try:
        deposit = _opened(party, header, key, await _whole(assembly, uploads), caller)
        deposits.put(deposit)
    finally:
        deposits.release(size)
    return deposit


async def _whole(assembly: Assembly, uploads: Uploads) -> bytes:
    async for upload in uploads:
        if not upload.HasField("chunk"):
            raise InvalidArgument.of("header", "only once, at the beginning")
        assembly.add(upload.chunk)
    return assembly.finish()


def _opened(party: Party, header: common_pb2.UploadHeader, key: SealingKey, sealed: bytes, caller: str) -> Deposit:
    index, program = party.config.index, header.program
    return unseal(header.request, index, key.private, sealed, caller=caller, program=program)


async def _share_bytes(party: Party, header: common_pb2.UploadHeader) -> int:
    """How many bytes a share of this request must have, or may have if it is a message; raises ServiceFault."""
    declared = DECLARED[header.request.operation]
    if declared.message_bytes:
        return declared.message_bytes
    if declared.has_program:
        program = parse_program(header)
        return program.weight_count * (4 if program.q == 31 else 8)
    if not declared.has_share:
        raise InvalidArgument.of("request.operation", "one that has a share")
    request = header.request
    names = (request.model, request.new_model) if "new_model" in declared.fields else (request.model,)
    return request.images * sum([(await party.models.get(name)).image_bytes for name in names])


def brought(
    party: Party, request: common_pb2.Request, envelope: common_pb2.SealedEnvelope | None, caller: str
) -> Deposit | None:
    """What came with a request that is not uploaded; None where there should have been a share, or nobody asks.

    Raises InvalidArgument for an envelope that should not be there, or is not sealed to this party for this request.
    """
    declared = DECLARED[request.operation]
    if declared.has_share or not declared.signed:
        if envelope is not None:
            raise InvalidArgument.of("envelope", "none: a share is uploaded, and who asks unsigned gets no answer")
        return None
    envelope = envelope or common_pb2.SealedEnvelope()
    key = party.intake.keys.named(envelope.key_id)
    check_key("envelope.key_id", envelope.key_id, party.config.index, key.public)
    return unseal_envelope(request, party.config.index, key.private, envelope, caller)
