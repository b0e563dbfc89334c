"""A second server without TLS that answers gRPC Health/Check and nothing else: for probes that have no certificate.

Who can reach the port is known by nothing but an address, so a call is given a second to say what it wants, and Watch, which
would hold its place, is refused.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from visard_common.address import listening
from visard_common.arrival import arriving, only
from visard_common.limits import PROBE_BYTES, PROBE_SECONDS
from visard_common.rpc import FaultInterceptor

_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", PROBE_BYTES),
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_concurrent_streams", 8),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", int(PROBE_SECONDS * 1000)),
]


class _CheckOnly(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    def __init__(self, health: Any) -> None:
        self._health = health

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """As the service itself answers."""
        return await self._health.Check(request, context)

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        """Refused."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Check only: Watch is for those with a certificate")


class _Impatient(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    async def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(details)
        return handler and arriving(handler, details.method, _soon)


@asynccontextmanager
async def _soon(call: Any, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    yield await only(requests, PROBE_SECONDS)


@asynccontextmanager
async def probed(address: str | None, health: Any) -> AsyncIterator[None]:
    """Serve a health servicer's Check at host:port while the block lasts, if there is an address; raises CannotListen."""
    if address is None:
        yield
        return
    server = grpc.aio.server(interceptors=[FaultInterceptor(), _Impatient()], options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(_CheckOnly(health), server)
    with listening(address):
        server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
