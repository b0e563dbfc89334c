"""What a party answers to the gateway: the outcome sealed for the caller, and what the run has cost."""

import resource

import structlog
from visard_wire.sealing import seal_result
from visard_wire.v1 import common_pb2, party_pb2

from visard_party.intake.asked import Asked
from visard_party.metrics import ran
from visard_party.operations.prepared import Outcome
from visard_party.peers.channel import SessionChannel
from visard_party.runs.meter import Meter

log = structlog.get_logger()


def response(
    party: int, asked: Asked, channel: SessionChannel | None, outcome: Outcome, meter: Meter
) -> party_pb2.RunResponse:
    """The answer of a run that ended well, which is counted and logged; without a channel of one that was made before."""
    report = common_pb2.PartyReport(
        party=party,
        engine_seconds=meter.engine,
        cpu_seconds=meter.cpu,
        rounds=channel.rounds if channel is not None else 0,
        sent_bytes=channel.sent_bytes if channel is not None else 0,
        kit_bytes=meter.kit_bytes,
        queue_seconds=meter.queued,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )
    ran(asked.request, report)
    answer = party_pb2.RunResponse(report=report, references_changed=outcome.references_changed)
    if outcome.model is not None:
        answer.model.CopyFrom(outcome.model.info())
    if asked.deposit is not None:
        outcome.sealed.references_changed = outcome.references_changed
        answer.result.CopyFrom(seal_result(asked.deposit.reply_key, asked.context, party, outcome.sealed))
    # sizes and times only: what was asked about whom stays out of the log
    log.info("run done", operation=asked.request.operation, rounds=report.rounds, seconds=round(meter.engine, 3))
    return answer
