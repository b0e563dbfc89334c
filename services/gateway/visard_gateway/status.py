"""How the parties are, as the gateway tells it."""

import asyncio

from visard_common.errors import DeadlineExceeded, ServiceFault
from visard_wire.v1 import common_pb2, gateway_pb2
from visard_wire.version import __version__

from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties


async def status(
    config: GatewayConfig, parties: Parties, ask: gateway_pb2.GetStatusRequest
) -> gateway_pb2.GetStatusResponse:
    """Ready when all parties are; one that does not answer in time is not."""
    found = await _statuses(parties, config.status_timeout, ask)
    return gateway_pb2.GetStatusResponse(
        ready=all(one.ready for one in found),
        version=__version__,
        parties=found,
        requests_at_a_time=config.max_uploads_per_caller,
    )


async def _statuses(
    parties: Parties, seconds: float, ask: gateway_pb2.GetStatusRequest
) -> list[common_pb2.PartyStatus]:
    """Every party's status; for one that does not answer, why not."""

    async def one(party: int) -> common_pb2.PartyStatus:
        try:
            return await parties.ask(lambda stub, _: stub.GetStatus(ask, timeout=seconds), party)
        except DeadlineExceeded:
            reason = f"party {party} did not answer within {seconds:g} s"
        except ServiceFault as fault:
            reason = fault.message
        return common_pb2.PartyStatus(party=party, ready=False, reason=reason)

    return list(await asyncio.gather(*(one(party) for party in range(3))))
