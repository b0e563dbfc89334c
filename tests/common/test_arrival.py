"""A call is looked at when it begins: foreign roles, crowds and silence are turned away before anything of it is read."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visard import certs
from visard.cluster import free_port_base
from visard_common import lifecycle
from visard_common.arrival import Patient, Places
from visard_common.config import ServiceConfig
from visard_common.errors import DeadlineExceeded, PermissionDenied, ResourceExhausted
from visard_common.identity import KINDS, Role
from visard_common.limits import LOOKS_EACH
from visard_common.tls import Tls
from visard_common.vouching import HERE, Vouching
from visard_dealer.__main__ import ACCESS as DEALER
from visard_dealer.servicer import DealerServicer
from visard_gateway.admin import AdminServicer
from visard_gateway.registry import ModelRegistryServicer
from visard_gateway.servicer import FaceMatchingServicer
from visard_gateway.services import ACCESS as GATEWAY
from visard_party.peers.servicer import PeerServicer
from visard_party.service.servicer import PartyServicer
from visard_party.starting import ACCESS as PARTY
from visard_wire.v1 import dealer_pb2, gateway_pb2, party_pb2, peer_pb2

from tests.waiting import PATIENCE, until

SERVICE = "visard.v1.Echo"
KINDS_OF_CALLS = ("unary_unary", "stream_unary", "unary_stream", "stream_stream")
SOON = 0.4
EACH = 6


async def _text(request: Any) -> bytes:
    return request if isinstance(request, bytes) else b"".join([message async for message in request])


async def returns(request: Any, context: Any) -> bytes:
    return await _text(request)


async def yields(request: Any, context: Any) -> AsyncIterator[bytes]:
    yield await _text(request)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


def tls(pki: Path, name: str) -> Tls:
    return Tls(ca=pki / "ca.pem", cert=pki / f"{name}.pem", key=pki / f"{name}.key")


@asynccontextmanager
async def served(pki: Path, access: dict[str, tuple[str, ...]] | None = None, **settings: Any) -> AsyncIterator[str]:
    address = f"localhost:{free_port_base()}"
    methods = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(returns if kind.endswith("unary") else yields)
        for kind in KINDS_OF_CALLS
    }
    config = ServiceConfig(
        listen=address, tls=tls(pki, "gateway"), drain_seconds=0.1, max_calls_per_caller=EACH, **settings
    )

    def add(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    async with lifecycle.running(config, {SERVICE: ("enroller", "owner")} if access is None else access, add) as health:
        await health.set(True)
        yield address


def waits(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("visard_common.arrival.IDLE_SECONDS", seconds)
    monkeypatch.setattr("visard_common.arrival.FIRST_SECONDS", seconds)
    monkeypatch.setattr("visard_common.arrival.only.__defaults__", (seconds,))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    waits(monkeypatch, SOON)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ends by the clock."""
    waits(monkeypatch, 2 * PATIENCE)


def begun(channel: grpc.aio.Channel, method: str, timeout: float = 2 * PATIENCE) -> Any:
    """A call of which nothing but its beginning is sent, whatever the method takes."""
    return channel.stream_stream(f"/{method}")(timeout=timeout)  # type: ignore[call-arg]  # its stub knows no defaults


async def echoed(channel: grpc.aio.Channel, text: bytes) -> Any:
    return await channel.unary_unary(f"/{SERVICE}/unary_unary")(text, timeout=30)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", KINDS_OF_CALLS)
@pytest.mark.usefixtures("impatient")
async def silent_call__should_end_in_time(pki: Path, kind: str) -> None:
    async with served(pki) as address, tls(pki, "client").channel(address, "gateway") as channel:
        silent = begun(channel, f"{SERVICE}/{kind}")
        await asyncio.wait_for(silent.wait_for_connection(), PATIENCE)
        assert await asyncio.wait_for(silent.code(), PATIENCE) is StatusCode.DEADLINE_EXCEEDED
        assert "no message came" in await silent.details()
        if kind.startswith("stream"):
            stalled = begun(channel, f"{SERVICE}/{kind}")
            await stalled.write(b"one")
            assert await asyncio.wait_for(stalled.code(), PATIENCE) is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("kind", KINDS_OF_CALLS)
@pytest.mark.usefixtures("patient")
async def call_without_a_message__should_end_at_once(pki: Path, kind: str) -> None:
    async with served(pki) as address, tls(pki, "client").channel(address, "gateway") as channel:
        none = begun(channel, f"{SERVICE}/{kind}")
        await none.done_writing()
        expected = StatusCode.INVALID_ARGUMENT
        if kind.startswith("stream"):
            expected = StatusCode.OK
            assert await none.read() == b""
        assert await asyncio.wait_for(none.code(), PATIENCE) is expected


@pytest.mark.parametrize("kind", KINDS_OF_CALLS)
@pytest.mark.usefixtures("patient")
async def foreign_role__should_be_turned_away_before_it_says_anything(pki: Path, kind: str) -> None:
    """Uploads are read on for a second, so that an honest caller sees why."""
    async with served(pki) as address, tls(pki, "party0").channel(address, "gateway") as channel:
        call = begun(channel, f"{SERVICE}/{kind}")
        assert await asyncio.wait_for(call.code(), PATIENCE) is StatusCode.PERMISSION_DENIED


async def method_without_roles__should_be_for_nobody(pki: Path) -> None:
    async with served(pki, {}) as address, tls(pki, "client").channel(address, "gateway") as channel:
        assert await begun(channel, f"{SERVICE}/unary_unary").code() is StatusCode.PERMISSION_DENIED


@pytest.mark.usefixtures("patient")
async def caller__should_not_take_the_places_of_others(pki: Path) -> None:
    async with served(pki) as address, AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(tls(pki, "client").channel(address, "gateway")) for _ in range(3)]
        held = [begun(channels[k % 3], f"{SERVICE}/unary_unary") for k in range(4 * EACH)]
        ends = [asyncio.ensure_future(call.code()) for call in held]
        await until(lambda: sum(end.done() for end in ends) >= 3 * EACH)
        done, waiting = [end for end in ends if end.done()], [end for end in ends if not end.done()]
        assert [task.result() for task in done] == [StatusCode.RESOURCE_EXHAUSTED] * (3 * EACH)
        assert len(waiting) == EACH
        other = await stack.enter_async_context(tls(pki, "owner").channel(address, "gateway"))
        assert await echoed(other, b"hello") == b"hello"
        for call in held:
            call.cancel()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    assert await echoed(channels[0], b"again") == b"again"
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)
        await asyncio.gather(*waiting)


async def watches__should_have_few_places_and_leave_check_its_own(pki: Path) -> None:
    async with served(pki) as address, tls(pki, "client").channel(address, "gateway") as channel:
        stub, ask = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest()
        watches = [stub.Watch(ask, timeout=60) for _ in range(LOOKS_EACH)]
        for watch in watches:
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert await stub.Watch(ask, timeout=60).code() is StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Check(ask, timeout=60)).status == health_pb2.HealthCheckResponse.SERVING
        for watch in watches:
            watch.cancel()


async def probe_port__should_answer_among_watches_and_idle_calls(pki: Path) -> None:
    """Without a certificate: 64 watches used to make the probe fail."""
    port = f"localhost:{free_port_base() + 5}"
    async with served(pki, health_listen=port), AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(port, options=[("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(10)
        ]
        ask = health_pb2.HealthCheckRequest()
        watches = [health_pb2_grpc.HealthStub(channel).Watch(ask, timeout=60) for channel in channels for _ in range(8)]
        assert {await watch.code() for watch in watches} == {StatusCode.UNIMPLEMENTED}
        idle = [begun(channel, "grpc.health.v1.Health/Check") for channel in channels[1:] for _ in range(8)]
        for service in ("", "live"):
            asked = health_pb2.HealthCheckRequest(service=service)
            found = await health_pb2_grpc.HealthStub(channels[0]).Check(asked, timeout=60)
            assert found.status == health_pb2.HealthCheckResponse.SERVING
        assert {await call.code() for call in idle} == {StatusCode.DEADLINE_EXCEEDED}


def places__should_be_shared_by_kind_and_caller() -> None:
    places, method = Places(8, 2), "visard.v1.FaceMatching/Verify"

    def take(stack: ExitStack, name: str, count: int, kind: str = "enroller") -> None:
        for _ in range(count):
            stack.enter_context(places.of(Role(kind, name), method))

    with ExitStack() as stack:
        take(stack, "ada", 2)
        with pytest.raises(ResourceExhausted):
            take(stack, "ada", 1)
        take(stack, "bea", 2)
        take(stack, "cleo", 2)
        with pytest.raises(ResourceExhausted):
            take(stack, "dan", 1)
        take(stack, "", 1, "owner")  # another kind has places of its own
        take(stack, "", 20, "gateway")  # services ask for others
        assert places.taken == 7
    assert places.taken == 0
    with ExitStack() as stack:
        take(stack, "dan", 2)


async def stream__should_be_given_time_by_message() -> None:
    async def slowly() -> AsyncIterator[int]:
        for k in range(4):
            await asyncio.sleep(0)
            yield k
        await asyncio.sleep(3600)

    patient, got = Patient(slowly(), 5, 0.5), []
    with pytest.raises(DeadlineExceeded, match=r"within 0\.5 s"):
        async for message in patient:
            got.append(message)
    assert got == [0, 1, 2, 3]


SERVED: dict[str, tuple[Any, Any, Mapping[str, tuple[str, ...]]]] = {
    "FaceMatching": (gateway_pb2, FaceMatchingServicer, GATEWAY),
    "ModelRegistry": (gateway_pb2, ModelRegistryServicer, GATEWAY),
    "Admin": (gateway_pb2, AdminServicer, GATEWAY),
    "Party": (party_pb2, PartyServicer, PARTY),
    "Peer": (peer_pb2, PeerServicer, PARTY),
    "Dealer": (dealer_pb2, DealerServicer, DEALER),
}
METHODS = [(name, m) for name, (file, _, _) in SERVED.items() for m in file.DESCRIPTOR.services_by_name[name].methods]


async def refused_by_handler(service: str, method: MethodDescriptor, kind: str) -> bool:
    """Whether the handler itself, asked without any interceptor, refuses a role."""
    servicer = SERVED[service][1]
    uri = f"visard://{kind}/0".encode()
    context = SimpleNamespace(auth_context=lambda: {"x509_subject_alternative_name": [uri]}, time_remaining=lambda: 1.0)

    async def nothing() -> AsyncIterator[Any]:
        return
        yield

    made = servicer(*[MagicMock()] * (servicer.__init__.__code__.co_argcount - 1))
    answer = getattr(made, method.name)(nothing() if method.client_streaming else MagicMock(), context)
    try:
        await (anext(answer) if method.server_streaming else answer)
    except PermissionDenied:
        return True
    except Exception:
        return False
    return False


@pytest.mark.parametrize(("service", "method"), METHODS, ids=lambda value: getattr(value, "name", value))
async def arrival__should_let_in_whom_the_handler_lets_in(pki: Path, service: str, method: MethodDescriptor) -> None:
    """What is said twice is said alike."""
    HERE.set(Vouching(tls(pki, "gateway")))
    access, name = SERVED[service][2], f"visard.v1.{service}"
    kinds = access.get(f"{name}/{method.name}", access.get(name, ()))
    refused = {kind for kind in KINDS if await refused_by_handler(service, method, kind)}
    assert set(KINDS) - refused == set(kinds)
