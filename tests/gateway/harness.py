"""A gateway between real TLS connections: three parties that do as they are told, and callers of every role."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2
from visard import certs
from visard_common.errors import ServiceFault
from visard_common.lifecycle import interceptors
from visard_common.rpc import FaultInterceptor, fault_of
from visard_common.tls import SERVER_OPTIONS, Tls
from visard_common.uploads import refusing_politely
from visard_gateway.config import GatewayConfig
from visard_gateway.http.app import Front
from visard_gateway.http.door import HttpDoor
from visard_gateway.parties import Parties
from visard_gateway.relay import Relay
from visard_gateway.services import ACCESS, SERVICES, add_services
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc, party_pb2, party_pb2_grpc

Operation = common_pb2.Operation
LONG = 3600.0  # for those who hang: longer than any deadline in these tests
PATIENCE = 90.0  # after which a test has failed
STATUS_SECONDS = 3.0  # for a party that does not answer; one that does is quicker


class FakeParty(party_pb2_grpc.PartyServicer):
    """Records what it is asked, and answers, refuses or hangs as its fields say."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.uploads: list[list[common_pb2.Upload]] = []
        self.runs: list[common_pb2.Request] = []
        self.cancelled: list[bytes] = []
        self.run_started = asyncio.Event()
        self.run_ended = asyncio.Event()
        self.deposit_ended = asyncio.Event()
        self.deposit_fault: ServiceFault | None = None
        self.run_fault: ServiceFault | None = None
        self.hang_in: str = ""  # name of a method
        self.wait_in_run: asyncio.Event | None = None
        self.models = [common_pb2.ModelInfo(name="face", field_bits=31)]
        self.subjects = [gateway_pb2.Subject(subject="ann", references=2)]
        self.references = [gateway_pb2.ReferenceInfo(reference_id="0" * 32)]
        self.deleted = 2

    async def Deposit(self, request_iterator: AsyncIterator[common_pb2.Upload], context: Any) -> Any:
        messages: list[common_pb2.Upload] = []
        self.uploads.append(messages)
        try:
            async with refusing_politely(request_iterator):
                if self.deposit_fault:
                    raise self.deposit_fault
                await self._maybe_hang("Deposit")
                async for message in request_iterator:
                    messages.append(message)
        finally:
            self.deposit_ended.set()
        return party_pb2.DepositResponse(context_digest=bytes(32))

    async def Run(self, request: party_pb2.RunRequest, context: Any) -> party_pb2.RunResponse:
        self.runs.append(request.request)
        self.run_started.set()
        try:
            if self.run_fault:
                raise self.run_fault
            await self._maybe_hang("Run")
            if self.wait_in_run is not None:
                await self.wait_in_run.wait()
        finally:
            self.run_ended.set()
        sealed = common_pb2.SealedResult(party=self.number, ciphertext=b"answer %d" % self.number)
        report = common_pb2.PartyReport(party=self.number, rounds=7)
        return party_pb2.RunResponse(
            result=sealed, report=report, references_changed=self.deleted, model=self.models[0]
        )

    async def Cancel(self, request: party_pb2.CancelRequest, context: Any) -> party_pb2.CancelResponse:
        self.cancelled.append(request.request_id)
        return party_pb2.CancelResponse()

    async def ListSubjects(self, request: Any, context: Any) -> gateway_pb2.ListSubjectsResponse:
        token = f"after {request.page_token}" if request.page_token else ""
        return gateway_pb2.ListSubjectsResponse(
            subjects=self.subjects[: request.page_size or None], next_page_token=token
        )

    async def ListReferences(self, request: Any, context: Any) -> gateway_pb2.ListReferencesResponse:
        return gateway_pb2.ListReferencesResponse(references=self.references)

    async def AuditLog(self, request: Any, context: Any) -> gateway_pb2.AuditLogResponse:
        return gateway_pb2.AuditLogResponse(now_unix_ms=self.number)

    async def GetStatus(self, request: Any, context: Any) -> common_pb2.PartyStatus:
        await self._maybe_hang("GetStatus")
        models = [common_pb2.ModelInfo.FromString(model.SerializeToString()) for model in self.models]
        for model in models:
            if request.layers:
                model.cost.layers.add(kind="conv")
        return common_pb2.PartyStatus(party=self.number, ready=True, models=models)

    async def GetKey(self, request: Any, context: Any) -> common_pb2.PartyKey:
        return common_pb2.PartyKey(party=self.number, public_key=bytes([self.number]) * 32)

    async def _maybe_hang(self, method: str) -> None:
        if self.hang_in == method:
            await asyncio.sleep(LONG)


def fake(number: int) -> FakeParty:
    """One that has no Audit and no ListRights."""
    return FakeParty(number)  # type: ignore[abstract]  # they are answered with UNIMPLEMENTED


@dataclass
class House:
    """A running gateway, its parties and everybody's certificates."""

    folder: Path
    parties: list[FakeParty]
    servers: list[grpc.aio.Server]
    ports: list[int]
    address: str = ""
    http: str = ""  # as in https://localhost:7305, if there is such a port
    door: HttpDoor | None = None
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    @property
    def front(self) -> Front | None:
        return None if self.door is None else self.door.front

    def tls(self, role: str) -> Tls:
        return Tls(ca=self.folder / "ca.pem", cert=self.folder / f"{role}.pem", key=self.folder / f"{role}.key")

    def matching(self, role: str = "client") -> Any:
        return gateway_pb2_grpc.FaceMatchingStub(self._channel(role))

    def registry(self, role: str = "owner") -> Any:
        return gateway_pb2_grpc.ModelRegistryStub(self._channel(role))

    def administration(self, role: str = "admin") -> Any:
        return gateway_pb2_grpc.AdminStub(self._channel(role))

    def _channel(self, role: str) -> grpc.aio.Channel:
        self.channels.append(self.tls(role).channel(self.address, "gateway"))
        return self.channels[-1]

    async def kill(self, party: int) -> None:
        await self.servers[party].stop(None)

    async def restart(self, party: int) -> None:
        """The same address again, and a fresh party behind it."""
        self.parties[party] = fake(party)
        self.servers[party], _ = await _serve_party(self, party, self.ports[party])


async def _serve_party(house: House, party: int, port: int = 0) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(interceptors=[FaultInterceptor()], options=SERVER_OPTIONS)
    party_pb2_grpc.add_PartyServicer_to_server(house.parties[party], server)
    port = server.add_secure_port(f"127.0.0.1:{port}", house.tls(f"party{party}").server_credentials())
    await server.start()
    return server, port


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """A house with a gateway of these settings."""
    if not (folder / "ca.pem").exists():
        certs.init(folder)
    house = House(folder, [fake(i) for i in range(3)], [], [])
    for party in range(3):
        server, port = await _serve_party(house, party)
        house.servers.append(server)
        house.ports.append(port)
    one, two, three = (f"127.0.0.1:{port}" for port in house.ports)
    settings = {"status_timeout": STATUS_SECONDS, **settings}
    settings = {"tls": house.tls("gateway"), **settings}
    config = GatewayConfig(listen="127.0.0.1:0", parties=(one, two, three), **settings)
    parties = Parties(config.parties, config.tls)
    relay = Relay(config, parties)
    within = interceptors(config, ACCESS)
    gateway = grpc.aio.server(interceptors=within, options=SERVER_OPTIONS)
    add = partial(add_services, config, parties, relay)
    add(gateway)
    house.door = door = HttpDoor(config, SERVICES, add)
    health = health_service.aio.HealthServicer()  # type: ignore[attr-defined]
    await health.set("", health_pb2.HealthCheckResponse.SERVING)
    port = gateway.add_secure_port(config.listen, config.tls.server_credentials())
    house.address = f"127.0.0.1:{port}"
    await gateway.start()
    await door.open(within, health)
    house.http = f"https://localhost:{door.port}"
    try:
        yield house
    finally:
        await door.close(0.1)
        for channel in house.channels:
            await channel.close(None)
        await gateway.stop(None)
        await parties.close()
        for server in house.servers:
            await server.stop(None)


def request(operation: Operation.ValueType = Operation.OPERATION_VERIFY) -> common_pb2.Request:
    """A request as a client makes it."""
    expires = int((time.time() + 60) * 1000)
    return common_pb2.Request(
        request_id=os.urandom(16),
        operation=operation,
        subject="ann",
        model="face",
        images=1,
        expires_unix_ms=expires,
        sent_unix_ms=expires - 1000,
    )


def header(asked: common_pb2.Request, sizes: Iterable[int] = (4, 4, 4)) -> common_pb2.Upload:
    """The first message of an upload of sealed shares of these sizes."""
    shares = [common_pb2.SealedShareInfo(party=i, key_id=bytes([i]) * 8, size=n) for i, n in enumerate(sizes)]
    return common_pb2.Upload(header=common_pb2.UploadHeader(request=asked, shares=shares))


def chunk(party: int, index: int, data: bytes, last: bool = False) -> common_pb2.Upload:
    """A piece of a share."""
    return common_pb2.Upload(chunk=common_pb2.Chunk(party=party, index=index, data=data, last=last))


def small_upload(asked: common_pb2.Request) -> list[common_pb2.Upload]:
    """A whole upload of four bytes a party."""
    return [header(asked), *(chunk(i, 0, bytes([i]) * 4, last=True) for i in range(3))]


async def stream(messages: Iterable[common_pb2.Upload], then_wait: float = 0.0) -> AsyncIterator[common_pb2.Upload]:
    """The messages, then silence for a while."""
    for message in messages:
        yield message
    await asyncio.sleep(then_wait)


async def eventually(happened: asyncio.Event | Callable[[], bool]) -> None:
    """Wait for what must happen; raises TimeoutError when it does not."""
    async with asyncio.timeout(PATIENCE):
        if isinstance(happened, asyncio.Event):
            await happened.wait()
        while not isinstance(happened, asyncio.Event) and not happened():
            await asyncio.sleep(0.02)


async def refusal(call: Awaitable[Any]) -> ServiceFault:
    """The fault that a call ends with, its details restored; fails when there is none, or none in time."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    fault = fault_of(caught.value, "the gateway")
    fault.message = caught.value.details() or ""  # as it was said, not as fault_of puts it
    return fault
