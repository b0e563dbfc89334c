"""The HTTP port as a part of the gateway: the same handlers within the same interceptors, for as long as the gateway serves."""

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visard_common.lifecycle import Interceptors

from visard_gateway.config import GatewayConfig
from visard_gateway.http.app import Front
from visard_gateway.http.connect import Collected, Services
from visard_gateway.http.openapi import document
from visard_gateway.http.proofs import Proofs
from visard_gateway.http.server import HttpServer

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


class HttpDoor:
    """Opens the port where the configuration names one."""

    def __init__(
        self, config: GatewayConfig, services: Sequence[ServiceDescriptor], add: Callable[[Any], None]
    ) -> None:
        self._config = config
        self._services = services
        self._add = add
        self._server: HttpServer | None = None
        self.front: Front | None = None  # what it serves, while it does

    @property
    def port(self) -> int | None:
        """Where it listens, while it does."""
        return None if self._server is None else self._server.port

    async def open(self, interceptors: Interceptors, health: Any) -> None:
        """Serve what the gRPC port serves, within its interceptors; raises CannotListen, OSError and ValueError."""
        if self._config.http_listen is None:
            return
        found = Collected()
        self._add(found)
        health_pb2_grpc.add_HealthServicer_to_server(health, found)
        proofs = Proofs(self._config.tls)
        services = Services([*self._services, _HEALTH], found.handlers, interceptors, proofs, self._config.max_calls)
        self.front = Front(services, document(self._services), self._config.http_origins)
        self._server = HttpServer(
            self._config.http_listen,
            self._config.tls,
            self.front,
            self._config.max_calls,
            self._config.longest_connection,
        )
        await self._server.start()

    async def close(self, seconds: float) -> None:
        """Take nothing new; what is under way has so long."""
        if self._server is not None:
            await self._server.stop(seconds)
