"""The session of a run: its channel, whose end the peers learn together with the reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from visard_common.deadline import within
from visard_common.errors import Unavailable
from visard_engine.errors import PeerLost

from visard_party.config import ComputingConfig
from visard_party.faults import Refused, fault_of
from visard_party.peers.channel import SessionChannel
from visard_party.peers.evidence import told
from visard_party.peers.links import PeerLinks
from visard_party.peers.mailbox import SessionAborted


@asynccontextmanager
async def opened(
    config: ComputingConfig, links: PeerLinks, session: bytes, seconds: float
) -> AsyncIterator[SessionChannel]:
    """A run's channel, for as long as it may take; raises ServiceFault, whatever went wrong."""
    try:
        channel = SessionChannel(links, session, config.peer_timeout)
    except PeerLost as error:
        raise Unavailable(str(error)) from error
    failure: BaseException | None = None
    try:
        async with within(seconds, "the run"):
            yield channel
    except BaseException as error:
        failure, fault = error, fault_of(error, f"party {config.index}")
        if not isinstance(error, SessionAborted | Refused):
            channel.abort(fault.code, fault.message, fault.retry_after, told(error))
        if isinstance(error, asyncio.CancelledError):
            raise
        raise fault from error
    finally:
        channel.close(failure)
        failure = None  # it holds this frame
