"""Uploads made by hand, to be spoilt in tests."""

import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import cast

import grpc
import numpy as np
from visard.client import Connection
from visard.cluster import Cluster
from visard_wire.callers import Signer
from visard_wire.sealing import Context, commitment, key_id, new_reply_key, seal_share
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

COMPARE = common_pb2.Operation.OPERATION_COMPARE
CHUNK = 64 << 10
WORDS = 2 * 3 * 150 * 150


def channel(cluster: Cluster, address: str, role: str) -> grpc.aio.Channel:
    """A channel with a certificate of some role."""
    connection = Connection.from_home(cluster.home, role)
    pem = [path.read_bytes() for path in (connection.ca, connection.key, connection.cert)]
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*pem))


def trailers(error: grpc.aio.AioRpcError) -> tuple[tuple[str, bytes], ...]:
    """What came with a refusal."""
    return cast("tuple[tuple[str, bytes], ...]", error.trailing_metadata() or ())


async def unary(channel: grpc.aio.Channel, method: str) -> object:
    """Ask by a path, with nothing, whatever is served there."""
    return await channel.unary_unary(method)(b"", timeout=60)  # type: ignore[call-arg]  # its stub knows no defaults


def request(**fields: object) -> common_pb2.Request:
    """A valid Compare request, with some fields changed."""
    valid = {
        "request_id": os.urandom(16),
        "operation": COMPARE,
        "model": "face",
        "images": 2,
        "sent_unix_ms": int(time.time() * 1000),
        "expires_unix_ms": int(time.time() * 1000) + 60_000,
    }
    return common_pb2.Request(**(valid | fields))  # type: ignore[arg-type]


def signer(cluster: Cluster, role: str = "client") -> Signer:
    """Signs as a role."""
    connection = Connection.from_home(cluster.home, role)
    return Signer.read(connection.cert, connection.key)


@dataclass
class RawUpload:
    """A valid upload of random shares; change what you like before ``messages``."""

    keys: list[bytes]
    signer: Signer
    request: common_pb2.Request = field(default_factory=request)
    sealed_for: common_pb2.Request | None = None
    shares: list[bytes] = field(default_factory=lambda: [np.zeros(WORDS, "<u4").tobytes() for _ in range(3)])

    def messages(self) -> list[common_pb2.Upload]:
        """The header, then every chunk of party 0, then of 1, then of 2."""
        context = Context.from_request(self.sealed_for or self.request)
        sealed = [
            seal_share(key, context, party, new_reply_key(), self.shares[party]) for party, key in enumerate(self.keys)
        ]
        self.request.share_digests[:] = [commitment(one) for one in sealed]
        self.signer.sign(self.request)
        infos = [
            common_pb2.SealedShareInfo(party=party, key_id=key_id(key), size=len(data))
            for party, (key, data) in enumerate(zip(self.keys, sealed, strict=True))
        ]
        header = common_pb2.UploadHeader(request=self.request, shares=infos)
        return [
            common_pb2.Upload(header=header),
            *(c for party, data in enumerate(sealed) for c in _chunks(party, data)),
        ]


def _chunks(party: int, data: bytes) -> list[common_pb2.Upload]:
    starts = range(0, len(data), CHUNK)
    return [
        common_pb2.Upload(
            chunk=common_pb2.Chunk(
                party=party, index=k, data=data[start : start + CHUNK], last=start + CHUNK >= len(data)
            )
        )
        for k, start in enumerate(starts)
    ]


async def party_keys(stub: "gateway_pb2_grpc.FaceMatchingAsyncStub") -> list[bytes]:
    """The parties' sealing keys."""
    answer = await stub.GetParties(gateway_pb2.GetPartiesRequest(), timeout=60)
    return [party.public_key for party in answer.parties]


async def stream(messages: Iterable[common_pb2.Upload]) -> AsyncIterator[common_pb2.Upload]:
    """Messages as a stream."""
    for message in messages:
        yield message
