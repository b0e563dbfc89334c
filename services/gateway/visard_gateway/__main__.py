"""``python -m visard_gateway --config FILE``: run the gateway."""

import sys
from functools import partial

import grpc
from visard_common import lifecycle, logs, tracing
from visard_common.background import background
from visard_common.config import load
from visard_common.metrics import reading
from visard_common.roles import kinds_for
from visard_wire.v1 import gateway_pb2, gateway_pb2_grpc

from visard_gateway.admin import AdminServicer, Expiry
from visard_gateway.config import GatewayConfig
from visard_gateway.metrics import gauges
from visard_gateway.parties import Parties
from visard_gateway.relay import Relay
from visard_gateway.servicer import FaceMatchingServicer, ModelRegistryServicer

# full names of services to what they have; who may call which method is one table for gateway and parties
_SERVICES = [gateway_pb2.DESCRIPTOR.services_by_name[name] for name in ("FaceMatching", "ModelRegistry", "Admin")]
ACCESS = {service.full_name: () for service in _SERVICES} | {
    f"{service.full_name}/{method.name}": kinds_for(method.name) for service in _SERVICES for method in service.methods
}


async def serve(config: GatewayConfig) -> None:
    """Serve until stopped."""
    parties = Parties(config.parties, config.tls)
    relay = Relay(config, parties)

    def add(server: grpc.aio.Server) -> None:
        gateway_pb2_grpc.add_FaceMatchingServicer_to_server(FaceMatchingServicer(config, parties, relay), server)
        gateway_pb2_grpc.add_ModelRegistryServicer_to_server(ModelRegistryServicer(config, parties, relay), server)
        gateway_pb2_grpc.add_AdminServicer_to_server(AdminServicer(config, parties, relay), server)

    with reading(partial(gauges, parties, relay)):
        async with (
            background() as work,
            lifecycle.running(config, ACCESS, add, config.connection_options, work) as health,
        ):
            work.every(config.expiry_interval, "expiry", Expiry(config, parties, relay).look)
            await health.set(True)
            await lifecycle.until_stopped()
            await work.stop()
    await parties.close()


def main() -> None:
    """Entry point."""
    config = load(GatewayConfig, sys.argv[1:])
    logs.configure("gateway", config.log_level)
    tracing.configure("gateway", config.traces)
    lifecycle.run(lambda: serve(config))


if __name__ == "__main__":
    main()
