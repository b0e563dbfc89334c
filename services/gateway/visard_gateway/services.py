"""The gateway's three services, and who may call them."""

import grpc
from visard_common.roles import kinds_for
from visard_wire.v1 import gateway_pb2, gateway_pb2_grpc

from visard_gateway.admin import AdminServicer
from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties
from visard_gateway.registry import ModelRegistryServicer
from visard_gateway.relay import Relay
from visard_gateway.servicer import FaceMatchingServicer

# full names of services to what they have; who may call which method is one table for gateway and parties
SERVICES = [gateway_pb2.DESCRIPTOR.services_by_name[name] for name in ("FaceMatching", "ModelRegistry", "Admin")]
ACCESS = {service.full_name: () for service in SERVICES} | {
    f"{service.full_name}/{method.name}": kinds_for(method.name) for service in SERVICES for method in service.methods
}


def add_services(config: GatewayConfig, parties: Parties, relay: Relay, server: grpc.aio.Server) -> None:
    """Let a server serve callers of every role."""
    gateway_pb2_grpc.add_FaceMatchingServicer_to_server(FaceMatchingServicer(config, parties, relay), server)
    gateway_pb2_grpc.add_ModelRegistryServicer_to_server(ModelRegistryServicer(config, parties, relay), server)
    gateway_pb2_grpc.add_AdminServicer_to_server(AdminServicer(config, parties, relay), server)
