"""What administrators call, and what the gateway does by itself: erase references whose time is over."""

import os
import time
from typing import Any

import grpc
import structlog
from visard.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

from services.common.deadline import remaining
from services.common.errors import NotFound, ServiceFault
from services.common.identity import Role, require
from services.common.limits import REQUEST_ID_BYTES
from services.gateway.config import GatewayConfig
from services.gateway.parties import Parties
from services.gateway.relay import Relay
from services.gateway.upload import Operation

Context = grpc.aio.ServicerContext[Any, Any]

_LIFETIME_MS = 5 * 60 * 1000
_SELF = Role("gateway")

log = structlog.get_logger()


class AdminServicer(gateway_pb2_grpc.AdminServicer):
    """Audit, refresh, recover."""

    def __init__(self, config: GatewayConfig, parties: Parties, relay: Relay) -> None:
        self._config = config
        self._parties = parties
        self._relay = relay

    async def Audit(self, request: gateway_pb2.AuditRequest, context: Context) -> gateway_pb2.AuditResponse:  # noqa: N802
        """Hashes of what each party holds."""
        require(context, "admin")
        seconds = remaining(context, self._config.run_timeout)
        answers = await self._parties.ask_all(lambda stub, _: stub.Audit(request, timeout=seconds))
        return gateway_pb2.AuditResponse(parties=answers)

    async def Refresh(  # noqa: N802
        self, request: gateway_pb2.RefreshRequest, context: Context
    ) -> gateway_pb2.RefreshResponse:
        """New shares for everything."""
        caller, seconds = require(context, "admin"), remaining(context, self._config.admin_timeout)
        changed = await self._relay.change(request.request, Operation.OPERATION_REFRESH, seconds, caller)
        return gateway_pb2.RefreshResponse(references_renewed=changed)

    async def Recover(  # noqa: N802
        self, request: gateway_pb2.RecoverRequest, context: Context
    ) -> gateway_pb2.RecoverResponse:
        """One party's store, written anew."""
        caller, seconds = require(context, "admin"), remaining(context, self._config.admin_timeout)
        changed = await self._relay.change(request.request, Operation.OPERATION_RECOVER, seconds, caller)
        return gateway_pb2.RecoverResponse(references_restored=changed)


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
            operation=Operation.OPERATION_EXPIRE,
            model=model,
            sent_unix_ms=now,
            expires_unix_ms=now + _LIFETIME_MS,
        )
        try:
            erased = await self._relay.change(request, Operation.OPERATION_EXPIRE, self._config.run_timeout, _SELF)
        except NotFound:
            return
        log.info("references expired", count=erased)
