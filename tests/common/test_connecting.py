"""A connection takes the time that it takes: far peers and busy ones are reached at the first call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from visard import certs, connection
from visard.cluster import free_port_base
from visard_common import lifecycle, tls
from visard_common.config import ServiceConfig
from visard_common.identity import KINDS
from visard_wire.v1 import gateway_pb2, gateway_pb2_grpc

WAY_SECONDS = 0.4  # each way: further than around the Earth by geostationary satellite


class Ready(gateway_pb2_grpc.FaceMatchingServicer):
    """Answers when asked."""

    async def GetStatus(self, request: Any, context: Any) -> gateway_pb2.GetStatusResponse:
        return gateway_pb2.GetStatusResponse(ready=True)


@asynccontextmanager
async def far_from(address: str) -> AsyncIterator[str]:
    """An address from which every byte takes its time to this one, and back."""
    host, _, port = address.partition(":")

    carriers, writers = set[asyncio.Task[None]](), set[asyncio.StreamWriter]()

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                await asyncio.sleep(WAY_SECONDS)
                sink.write(data)
        finally:
            sink.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return
        writers.add(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            carriers.add(asyncio.create_task(carry(source, sink)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, *(writer.wait_closed() for writer in writers), return_exceptions=True)


@pytest.mark.parametrize("options", [tls.CHANNEL_OPTIONS, connection.OPTIONS], ids=["service", "client"])
async def far_service__should_be_reached_by_the_first_call(tmp_path: Path, options: list[tuple[str, int]]) -> None:
    certs.init(tmp_path / "pki", ["localhost"])
    own: dict[str, Any] = {"ca": "ca.pem", "cert": "gateway.pem", "key": "gateway.key"}
    files = {name: (tmp_path / "pki" / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")}
    mine = tls.Tls(**{kind: tmp_path / "pki" / name for kind, name in own.items()})
    config = ServiceConfig(listen=f"localhost:{free_port_base()}", tls=mine, drain_seconds=1)
    credentials = grpc.ssl_channel_credentials(files["ca.pem"], files["client.key"], files["client.pem"])
    async with (
        lifecycle.running(
            config,
            {"visard.v1.FaceMatching": KINDS},
            lambda server: gateway_pb2_grpc.add_FaceMatchingServicer_to_server(Ready(), server),  # type: ignore[abstract]
        ),
        far_from(config.listen) as address,
        grpc.aio.secure_channel(address, credentials, options=options) as channel,
    ):
        stub = gateway_pb2_grpc.FaceMatchingStub(channel)
        assert (await stub.GetStatus(gateway_pb2.GetStatusRequest(), timeout=60)).ready
