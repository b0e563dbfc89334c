"""The session of a batch: its end is told to the members, and to the peers."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from visard_common.deadline import within
from visard_common.errors import ServiceFault

from visard_party.batching.members import Member, given_up
from visard_party.faults import fault_of
from visard_party.peers.channel import SessionChannel
from visard_party.peers.evidence import told
from visard_party.peers.links import PeerLinks
from visard_party.peers.mailbox import SessionAborted


class NoBatch(Exception):
    """The batch's session could not be opened; its members have been told why."""


@asynccontextmanager
async def opened(
    links: PeerLinks, batch: bytes, members: Collection[Member], round_seconds: float, seconds: float
) -> AsyncIterator[SessionChannel]:
    """The channel of a batch's session, for so many seconds; raises NoBatch where it could not be opened.

    Whoever has no descriptors at its end is told why; of a failure the peers are told, too.
    """
    fault: ServiceFault = given_up()
    failure: Exception | None = None
    try:
        channel = SessionChannel(links, batch, round_seconds)
    except Exception as error:
        for member in members:
            member.fail(fault_of(error))
        raise NoBatch from error
    try:
        async with within(seconds, "the run"):
            yield channel
    except Exception as error:
        failure, fault = error, fault_of(error)
        if not isinstance(error, SessionAborted):
            channel.abort(fault.code, fault.message, fault.retry_after, told(error))
    finally:
        for member in members:
            member.fail(fault)
        channel.close(failure)
        failure = None  # it holds this frame
