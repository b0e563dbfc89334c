"""A stand-in for the services over mutual TLS: it opens what the three parties would open, and answers as told."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard import certs
from visard.capture import Chip
from visard.client import Client, Connection
from visard_common.errors import ServiceFault
from visard_common.rpc import FaultInterceptor
from visard_common.tls import SERVER_OPTIONS, Tls
from visard_wire.cells import ROOMS, Label
from visard_wire.digests import of_row_table
from visard_wire.sealing import Context, commitment, key_id, open_share, seal_result
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

from tests import cells
from tests.sealed import statement

LONG = 3600.0
Q = 31
P = (1 << Q) - 1
SEED, ROOM = bytes(range(16)), ROOMS[0]
Outcomes = list[common_pb2.Outcome]


def chip(seed: int) -> Chip:
    """A picture of nobody."""
    pixels = np.random.default_rng(seed).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    return Chip(pixels, pixels)


@dataclass
class Received:
    """One upload: what was asked, each party's share and reply key, and the secret behind the shares."""

    request: common_pb2.Request
    shares: list[npt.NDArray[np.int64]]
    reply_keys: list[bytes]
    program: bytes
    largest_chunk: int

    @property
    def secret(self) -> npt.NDArray[np.int64]:
        """F(0) of the line through F(1), F(2) and F(3), signed."""
        one, two, three = self.shares
        assert np.array_equal((2 * two - one) % P, three)
        value = (2 * one - two) % P
        return np.where(value > P // 2, value - P, value)


class Double(gateway_pb2_grpc.FaceMatchingServicer, gateway_pb2_grpc.ModelRegistryServicer):
    """Records uploads. ``faults`` are answered first, one a call that is no mere look; ``spoil``, ``tamper`` change answers."""

    def __init__(self, folder: Path) -> None:
        self.keys = [X25519PrivateKey.generate() for _ in range(3)]
        public = [key.public_key().public_bytes_raw() for key in self.keys]
        self.signed = [statement(folder, party, key) for party, key in enumerate(public)]
        self.info = common_pb2.ModelInfo(name="face", input_shape=(3, 150, 150), field_bits=Q)
        self.calls: Counter[str] = Counter()
        self.received: list[Received] = []
        self.attempts: defaultdict[str, list[common_pb2.Request]] = defaultdict(list)
        self.remaining: list[float] = []
        self.faults: list[ServiceFault] = []
        self.places = 16
        self.active = self.most_at_a_time = 0
        self.pause = 0.0  # before each answer and each fault
        self.bits = [True]
        self.table: list[str] = []
        self.point = "FMR_1E4"
        self.points = ["FMR_1E4", "FMR_1E5"]
        self.found: list[list[Label]] = [[], []]  # by each of the points
        self.spoil: Callable[[Outcomes], object] = lambda outcomes: None
        self.tamper: Callable[[Any], object] = lambda result: None

    async def _begin(self, method: str, context: Any) -> None:
        self.calls[method] += 1
        self.remaining.append(context.time_remaining())
        self.active += 1
        self.most_at_a_time = max(self.most_at_a_time, self.active)
        await asyncio.sleep(self.pause)
        self.active -= 1
        if self.faults and not method.startswith(("Get", "List")):
            raise self.faults.pop(0)

    async def _receive(self, uploads: AsyncIterator[common_pb2.Upload]) -> Received:
        header = (await anext(aiter(uploads))).header
        data, largest = [b"", b"", b""], 0
        async for message in uploads:
            data[message.chunk.party] += message.chunk.data
            largest = max(largest, len(message.chunk.data))
        assert [(info.party, info.size) for info in header.shares] == [
            (i, len(sealed)) for i, sealed in enumerate(data)
        ]
        opened = self._opened(header.request, [info.key_id for info in header.shares], data)
        shares = [np.frombuffer(share.reveal(), "<u4").astype(np.int64) for _, share in opened]
        replies = [reply.reveal() for reply, _ in opened]
        self.received.append(Received(header.request, shares, replies, header.program, largest))
        return self.received[-1]

    def _opened(
        self, request: common_pb2.Request, named: list[bytes], sealed: list[bytes]
    ) -> list[tuple[Secret, Secret]]:
        """Reply key and share of each party, after checking that they are what the caller has signed."""
        context = Context.from_request(request)
        assert named == [key_id(key.public_key) for key in self.signed]
        assert list(request.share_digests) == [commitment(one) for one in sealed]
        return [open_share(self.keys[i], context, i, one) for i, one in enumerate(sealed)]

    def _sealed(
        self, request: common_pb2.Request, replies: list[Secret], outcomes: Outcomes
    ) -> list[common_pb2.SealedResult]:
        self.spoil(outcomes)
        bound = Context.from_request(request)
        return [seal_result(key, bound, i, outcomes[i]) for i, key in enumerate(replies)]

    def outcomes(self, request: common_pb2.Request) -> Outcomes:
        """What three honest parties would answer."""
        tables = request.operation == common_pb2.OPERATION_IDENTIFY and not request.nearest
        if tables:
            packed = cells.tables(self.found, SEED, ROOM) * request.images
        else:
            packed = np.packbits(np.array(self.bits, bool), bitorder="little").tobytes()
        pieces = [os.urandom(len(packed)), os.urandom(len(packed))]
        pieces.append(bytes(a ^ b ^ c for a, b, c in zip(packed, *pieces, strict=True)))
        return [
            common_pb2.Outcome(
                reference_ids=[f"ref{k}" for k in range(request.images)],
                bits=8 * len(packed) if tables else len(self.bits),
                piece_own=pieces[i],
                piece_previous=pieces[i - 1],
                row_subjects=self.table if i == 0 else [],
                row_digest=of_row_table(self.table),
                operating_point=self.point,
                points=self.points if tables else [],
                cell_seed=SEED if tables else b"",
                room=ROOM if tables else 0,
            )
            for i in range(3)
        ]

    async def _match(self, method: str, uploads: Any, context: Any) -> gateway_pb2.Result:
        received = await self._receive(uploads)
        self.attempts[method].append(received.request)
        await self._begin(method, context)
        keys = [Secret(key) for key in received.reply_keys]
        sealed = self._sealed(received.request, keys, self.outcomes(received.request))
        reports = [common_pb2.PartyReport(party=i, rounds=5 + i, sent_bytes=1_500_000) for i in range(3)]
        result = gateway_pb2.Result(results=sealed, reports=reports, gateway_seconds=0.5)
        self.tamper(result)
        return result

    async def Enrol(self, request_iterator: Any, context: Any) -> gateway_pb2.Result:
        return await self._match("Enrol", request_iterator, context)

    async def Verify(self, request_iterator: Any, context: Any) -> gateway_pb2.Result:
        return await self._match("Verify", request_iterator, context)

    async def Identify(self, request_iterator: Any, context: Any) -> gateway_pb2.Result:
        return await self._match("Identify", request_iterator, context)

    async def Compare(self, request_iterator: Any, context: Any) -> gateway_pb2.Result:
        return await self._match("Compare", request_iterator, context)

    async def Publish(self, request_iterator: Any, context: Any) -> gateway_pb2.PublishResponse:
        received = await self._receive(request_iterator)
        await self._begin("Publish", context)
        keys = [Secret(key) for key in received.reply_keys]
        outcomes = [common_pb2.Outcome(program_digest=received.request.program_digest) for _ in range(3)]
        return gateway_pb2.PublishResponse(model=self.info, results=self._sealed(received.request, keys, outcomes))

    async def Calibrate(self, request: gateway_pb2.CalibrateRequest, context: Any) -> gateway_pb2.CalibrateResponse:
        self.attempts["Calibrate"].append(request.request)
        await self._begin("Calibrate", context)
        named, sealed = zip(*((one.key_id, one.ciphertext) for one in request.envelopes), strict=True)
        opened = self._opened(request.request, list(named), list(sealed))
        results = self._sealed(
            request.request, [reply for reply, _ in opened], [common_pb2.Outcome() for _ in range(3)]
        )
        response = gateway_pb2.CalibrateResponse(results=results)
        self.tamper(response)
        return response

    async def Delete(self, request: gateway_pb2.DeleteRequest, context: Any) -> gateway_pb2.DeleteResponse:
        self.attempts["Delete"].append(request.request)
        await self._begin("Delete", context)
        named, sealed = zip(*((one.key_id, one.ciphertext) for one in request.envelopes), strict=True)
        opened = self._opened(request.request, list(named), list(sealed))
        assert all(len(share) == 0 for _, share in opened)
        self.received.append(Received(request.request, [], [], b"", 0))
        outcomes = [common_pb2.Outcome(references_changed=3) for _ in range(3)]
        results = self._sealed(request.request, [reply for reply, _ in opened], outcomes)
        response = gateway_pb2.DeleteResponse(references_deleted=3, results=results)
        self.tamper(response)
        return response

    async def ListSubjects(self, request: Any, context: Any) -> gateway_pb2.ListSubjectsResponse:
        await self._begin("ListSubjects", context)
        names = ["ann", "bob", "cid"]
        at = names.index(request.page_token) + 1 if request.page_token else 0
        subjects = [gateway_pb2.Subject(subject=names[at], references=at + 1)]
        return gateway_pb2.ListSubjectsResponse(
            subjects=subjects, next_page_token=names[at] if at + 1 < len(names) else ""
        )

    async def GetStatus(self, request: Any, context: Any) -> gateway_pb2.GetStatusResponse:
        await self._begin("GetStatus", context)
        return gateway_pb2.GetStatusResponse(ready=True)

    async def GetParties(self, request: Any, context: Any) -> gateway_pb2.GetPartiesResponse:
        await self._begin("GetParties", context)
        return gateway_pb2.GetPartiesResponse(parties=self.signed, requests_at_a_time=self.places)

    async def ListModels(self, request: Any, context: Any) -> gateway_pb2.ListModelsResponse:
        await self._begin("ListModels", context)
        return gateway_pb2.ListModelsResponse(models=[self.info])


D = TypeVar("D", bound=Double)


@asynccontextmanager
async def running(folder: Path, make: Callable[[Path], D]) -> AsyncIterator[tuple[D, Connection]]:
    """A double of some kind with an authority of its own, and the connection of a client to it."""
    if not (folder / "ca.pem").exists():
        certs.init(folder)
    double = make(folder)
    tls = Tls(ca=folder / "ca.pem", cert=folder / "gateway.pem", key=folder / "gateway.key")
    server = grpc.aio.server(interceptors=[FaultInterceptor()], options=SERVER_OPTIONS)
    gateway_pb2_grpc.add_FaceMatchingServicer_to_server(double, server)
    gateway_pb2_grpc.add_ModelRegistryServicer_to_server(double, server)
    if isinstance(double, gateway_pb2_grpc.AdminServicer):
        gateway_pb2_grpc.add_AdminServicer_to_server(double, server)
    port = server.add_secure_port("127.0.0.1:0", tls.server_credentials())
    await server.start()
    try:
        yield double, Connection(f"127.0.0.1:{port}", folder / "ca.pem", folder / "client.pem", folder / "client.key")
    finally:
        await server.stop(None)


def _double(folder: Path) -> Double:
    return Double(folder)  # type: ignore[abstract]  # what it has not is answered with UNIMPLEMENTED


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Double, Connection]]:
    """A running double, and the connection of a client to it."""
    async with running(folder, _double) as pair:
        yield pair


@asynccontextmanager
async def connected(folder: Path, **settings: Any) -> AsyncIterator[tuple[Double, Client]]:
    """A double and a client of it."""
    async with serving(folder) as (double, connection), Client(connection, **settings) as client:
        yield double, client
