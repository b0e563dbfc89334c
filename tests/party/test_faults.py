"""Whatever class of ours ends a call of a party, at whichever method, has a status that was decided here, not left to chance."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
import visard_common
import visard_engine
import visard_party
from grpc import StatusCode
from visard import errors as clients
from visard.cluster import free_port_base
from visard_common import lifecycle
from visard_common.config import ServiceConfig
from visard_common.errors import FAULTS, ServiceFault
from visard_engine.errors import InputRefused, ViewsDiffer
from visard_party.faults import Refusal, Refused, fault_of, meaning
from visard_party.peers.mailbox import SessionAborted
from visard_party.starting import ACCESS
from visard_wire.v1 import party_pb2, peer_pb2

from tests.party.harness import tls

DEFECT = "INTERNAL"  # nobody is to see it: whoever meets it catches it
# class: status outside of runs, status at the end of one
STATUSES = {
    "visard_common": {
        **{fault.__name__: (code, code) for code, fault in FAULTS.items()},
        "ServiceFault": (DEFECT, DEFECT),
        "Deviated": ("ABORTED", "ABORTED"),
        "HopelessError": (DEFECT, "UNAVAILABLE"),
        "CannotListen": (DEFECT, "UNAVAILABLE"),
        "Stopped": (DEFECT, "UNAVAILABLE"),
    },
    "visard_engine": {
        "_Reached": (DEFECT, "UNAVAILABLE"),
        "EngineError": (DEFECT, "UNAVAILABLE"),
        "ProtocolError": ("ABORTED", "ABORTED"),
        "PartyDeviates": ("ABORTED", "ABORTED"),
        "ViewsDiffer": ("ABORTED", "ABORTED"),
        "CheckFailed": ("ABORTED", "ABORTED"),
        "PeerLost": ("UNAVAILABLE", "UNAVAILABLE"),
        "RoundTimeout": ("UNAVAILABLE", "UNAVAILABLE"),
        "InputRefused": ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        "PlanError": (DEFECT, "UNAVAILABLE"),
        "KitError": (DEFECT, "UNAVAILABLE"),
        "ModelError": (DEFECT, "UNAVAILABLE"),
        "ProgramError": (DEFECT, "UNAVAILABLE"),
        "UnsupportedLayer": (DEFECT, "UNAVAILABLE"),
        "RangeExceeded": (DEFECT, "UNAVAILABLE"),
        "Differs": (DEFECT, "UNAVAILABLE"),
    },
    "visard_party": {
        "StoreError": ("UNAVAILABLE", "UNAVAILABLE"),
        "SchemaMismatch": ("UNAVAILABLE", "UNAVAILABLE"),
        "ForeignStore": ("UNAVAILABLE", "UNAVAILABLE"),
        "StoreFull": ("UNAVAILABLE", "UNAVAILABLE"),
        "StoreBusy": ("UNAVAILABLE", "UNAVAILABLE"),
        "StoreAway": ("UNAVAILABLE", "UNAVAILABLE"),
        "StoreRefused": ("UNAVAILABLE", "UNAVAILABLE"),
        "RequestConflict": ("ALREADY_EXISTS", "ALREADY_EXISTS"),
        "Divergence": ("FAILED_PRECONDITION", "FAILED_PRECONDITION"),
        "Refused": ("NOT_FOUND", "NOT_FOUND"),
        "SessionAborted": ("ABORTED", "ABORTED"),
        "NoBatch": (DEFECT, "UNAVAILABLE"),
        "PickleRefused": (DEFECT, "UNAVAILABLE"),
        "KitBurnt": (DEFECT, "UNAVAILABLE"),
        "KitAside": (DEFECT, "UNAVAILABLE"),
    },
}
# those of the client's package, which the services use for statements, seals and chains
OF_CLIENTS = (DEFECT, "UNAVAILABLE")
_MADE = {
    Refused: lambda: Refused(Refusal("NOT_FOUND", "there is none")),
    SessionAborted: lambda: SessionAborted("ABORTED", "undone"),
    InputRefused: lambda: InputRefused("share", "a point on a line"),
    ViewsDiffer: lambda: ViewsDiffer("relu", 3, 1),
    clients.SealError: clients.SealError,
}


def _loaded(package: ModuleType) -> None:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def _below(cls: type[BaseException]) -> Iterator[type[BaseException]]:
    for one in cls.__subclasses__():
        yield one
        yield from _below(one)


def _ours() -> list[type[Exception]]:
    """Every error class that a party's process may know, found by walking."""
    for package in (visard_common, visard_engine, visard_party):
        _loaded(package)
    found = {one for one in _below(Exception) if one.__module__.startswith((*STATUSES, "visard.errors"))}
    return sorted((one for one in found if issubclass(one, Exception)), key=lambda one: (one.__module__, one.__name__))


OURS = _ours()
METHODS = [
    (service.full_name, method)
    for service in (party_pb2.DESCRIPTOR.services_by_name["Party"], peer_pb2.DESCRIPTOR.services_by_name["Peer"])
    for method in service.methods
]


def _status(error: type[BaseException]) -> tuple[str, str]:
    package = next((name for name in STATUSES if error.__module__.startswith(name)), None)
    return STATUSES[package][error.__name__] if package else OF_CLIENTS


def _made(error: type[Exception]) -> Exception:
    return _MADE[error]() if error in _MADE else error("the reason")


@dataclass
class Edge:
    """A party's server whose methods raise what a test wants."""

    address: str
    pki: Path
    error: Exception = field(default_factory=lambda: ServiceFault(""))

    def add(self, server: grpc.aio.Server) -> None:
        """Every method of both services."""
        for name, method in METHODS:
            answers = "stream" if method.server_streaming else "unary"
            kind = f"{'stream' if method.client_streaming else 'unary'}_{answers}"
            handler = getattr(grpc, f"{kind}_rpc_method_handler")(getattr(self, f"_{answers}"))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {method.name: handler}),))

    async def _unary(self, request: Any, context: Any) -> bytes:
        await self._read(request)
        raise self.error

    async def _stream(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        await self._read(request)
        raise self.error
        yield b""

    @staticmethod
    async def _read(request: Any) -> None:
        if not isinstance(request, bytes):
            await anext(aiter(request))

    async def says(self, channel: grpc.aio.Channel, name: str, method: Any) -> grpc.aio.AioRpcError:
        """What becomes of one call."""
        call = channel.stream_stream(f"/{name}/{method.name}", None, None)(iter([b""]), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        return caught.value


@pytest.fixture
async def edge(pki: Path) -> AsyncIterator[Edge]:
    made = Edge(f"localhost:{free_port_base()}", pki)
    config = ServiceConfig(listen=made.address, tls=tls(pki, "party1"), drain_seconds=1)
    async with lifecycle.running(config, ACCESS, made.add, known=meaning(1)):
        yield made


def every_class__should_have_a_status_that_was_decided() -> None:
    decided = {(package, name) for package, names in STATUSES.items() for name in names}
    found = {(one.__module__.partition(".")[0], one.__name__) for one in OURS}
    assert {(package, name) for package, name in found if package in STATUSES} == decided


async def every_class__should_have_its_status_at_every_method(edge: Edge) -> None:
    for role, service in (("gateway", "visard.v1.Party"), ("party2", "visard.v1.Peer")):
        async with tls(edge.pki, role).channel(edge.address, "party/0") as channel:
            for name, method in METHODS:
                if name != service:
                    continue
                for one in OURS:
                    edge.error = _made(one)
                    failure = await edge.says(channel, name, method)
                    assert failure.code() is StatusCode[_status(one)[0]], (method.name, one)
                    hidden = (
                        "internal error " if _status(one)[0] == DEFECT and not issubclass(one, ServiceFault) else ""
                    )
                    assert (failure.details() or "").startswith(hidden)


@pytest.mark.parametrize("error", OURS)
def every_class__should_have_its_status_at_the_end_of_a_run(error: type[Exception]) -> None:
    assert fault_of(_made(error), "party 1").code == _status(error)[1]


async def store_that_fails__should_be_named_by_its_party_and_tell_nothing_else(edge: Edge) -> None:
    async with tls(edge.pki, "gateway").channel(edge.address, "party/0") as channel:
        for one in OURS:
            if issubclass(one, visard_party.errors.StoreError):
                edge.error = one("mongodb://party:secret@db.example")
                failure = await edge.says(channel, *METHODS[0])
                assert failure.details() == "party 1's store is unavailable"
