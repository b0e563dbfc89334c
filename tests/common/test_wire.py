"""Every call of protos/ is answered by a service: none falls through to the generated stub that knows only UNIMPLEMENTED."""

import pytest
from visard_dealer.servicer import DealerServicer
from visard_gateway.admin import AdminServicer
from visard_gateway.registry import ModelRegistryServicer
from visard_gateway.servicer import FaceMatchingServicer
from visard_party.peers.servicer import PeerServicer
from visard_party.service.servicer import PartyServicer
from visard_wire.v1 import (
    dealer_pb2,
    dealer_pb2_grpc,
    gateway_pb2,
    gateway_pb2_grpc,
    party_pb2,
    party_pb2_grpc,
    peer_pb2,
)

SERVICES = {
    (gateway_pb2, "FaceMatching"): (FaceMatchingServicer, gateway_pb2_grpc.FaceMatchingServicer),
    (gateway_pb2, "ModelRegistry"): (ModelRegistryServicer, gateway_pb2_grpc.ModelRegistryServicer),
    (gateway_pb2, "Admin"): (AdminServicer, gateway_pb2_grpc.AdminServicer),
    (party_pb2, "Party"): (PartyServicer, party_pb2_grpc.PartyServicer),
    (peer_pb2, "Peer"): (PeerServicer, object),  # visard_party.peers.framing serves it without generated code
    (dealer_pb2, "Dealer"): (DealerServicer, dealer_pb2_grpc.DealerServicer),
}


def services__should_be_all_that_the_wire_has() -> None:
    files = (gateway_pb2, party_pb2, peer_pb2, dealer_pb2)
    declared = {(file, name) for file in files for name in file.DESCRIPTOR.services_by_name}
    assert declared == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service[1])
def call__should_be_implemented(service: tuple[object, str]) -> None:
    file, name = service
    ours, generated = SERVICES[service]  # type: ignore[index]
    for method in file.DESCRIPTOR.services_by_name[name].methods:  # type: ignore[attr-defined]
        assert getattr(ours, method.name) is not getattr(generated, method.name, None), method.name
