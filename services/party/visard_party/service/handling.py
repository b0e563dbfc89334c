"""Handling a request: who has signed it, what was handed in with it, its run, and its entry in the log."""

import time

from visard_common import logs
from visard_common.operations import DECLARED
from visard_wire.v1 import party_pb2

from visard_party.auditlog import CANCELLED
from visard_party.intake import requests
from visard_party.intake.asked import Asked
from visard_party.service.party import Party
from visard_party.service.uploads import brought


def longest_seconds(party: Party, operation: int) -> float:
    """How long a run of this operation may take at most; what is no operation is refused when it is handled."""
    declared = DECLARED.get(operation)
    return party.config.admin_timeout if declared and declared.long else party.config.run_timeout


async def handle(party: Party, asked: party_pb2.RunRequest, seconds: float) -> party_pb2.RunResponse:
    """Take part in a request within so many seconds; raises ServiceFault, and whatever ``faults.known`` knows."""
    request = asked.request
    logs.about(request.request_id)
    deposit = party.intake.deposits.take(request.request_id)
    if deposit is None:
        requests.check(request, int(time.time() * 1000))  # before anything is made of its fields
    caller = deposit.caller if deposit is not None else party.intake.callers.signed(request)
    signed = deposit.request if deposit is not None else request
    async with party.audit.noting(signed, caller):
        party.intake.callers.admit(caller, signed.operation)
        envelope = asked.envelope if asked.HasField("envelope") else None
        handed_in = deposit or brought(party, request, envelope, caller)
        return await party.runner.handle(Asked(request, asked.attempt, handed_in, seconds))


async def cancel(party: Party, request_id: bytes) -> None:
    """Drop a deposit, and stop a run; nothing where there is neither. Raises InvalidArgument for what is no id."""
    requests.check_id("request_id", request_id)
    deposit = party.intake.deposits.take(request_id)
    party.runner.cancel(request_id)
    if deposit is not None:
        await party.audit.note(deposit.request, deposit.caller, CANCELLED)
