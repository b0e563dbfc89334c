"""A second server without TLS that answers gRPC health and nothing else: for probes that have no certificate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc


@asynccontextmanager
async def probed(address: str | None, health: Any) -> AsyncIterator[None]:
    """Serve a health servicer at host:port while the block lasts, if there is an address."""
    if address is None:
        yield
        return
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=64)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if not server.add_insecure_port(address):
        raise OSError(f"cannot listen on {address}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
