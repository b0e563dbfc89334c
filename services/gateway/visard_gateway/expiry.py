"""What the gateway does by itself: ask the parties to erase references whose time is over."""

import os
import time

import structlog
from visard_common.errors import NotFound, ServiceFault
from visard_common.identity import Role
from visard_wire.limits import REQUEST_ID_BYTES
from visard_wire.v1 import common_pb2, gateway_pb2

from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties
from visard_gateway.relay import Relay

_LIFETIME_MS = 5 * 60 * 1000
_SELF = Role("gateway")

log = structlog.get_logger()


class Expiry:
    """Asks the parties, again and again, to erase references whose time is over."""

    def __init__(self, config: GatewayConfig, parties: Parties, relay: Relay) -> None:
        self._config = config
        self._parties = parties
        self._relay = relay

    async def look(self) -> None:
        """Ask for what is over now; a party that cannot is asked again next time."""
        try:
            for model in await self._models():
                await self._expire(model)
        except ServiceFault as fault:
            log.info("expiry is put off", reason=fault.message)

    async def _models(self) -> list[str]:
        ask = gateway_pb2.GetStatusRequest()
        seconds = self._config.run_timeout
        status = await self._parties.ask(lambda stub, _: stub.GetStatus(ask, timeout=seconds), 0)
        return [model.name for model in status.models]

    async def _expire(self, model: str) -> None:
        now = int(time.time() * 1000)
        request = common_pb2.Request(
            request_id=os.urandom(REQUEST_ID_BYTES),
            operation=common_pb2.OPERATION_EXPIRE,
            model=model,
            sent_unix_ms=now,
            expires_unix_ms=now + _LIFETIME_MS,
        )
        try:
            done = await self._relay.change(request, common_pb2.OPERATION_EXPIRE, self._config.run_timeout, _SELF)
        except NotFound:
            return
        log.info("references expired", count=done.references)
