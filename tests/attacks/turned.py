"""A gateway that has turned: with its own certificate and callers' signed requests it speaks to the real parties."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from visard.capture import capture
from visard.client import Client
from visard.envelopes import SealedRequest
from visard.uploads import pixels, shared
from visard_wire.v1 import common_pb2, party_pb2, party_pb2_grpc

from tests.e2e import raw

SECONDS = 60.0


class TurnedGateway:
    """Reaches the three parties with the gateway's certificate, and hands in whatever it likes."""

    def __init__(self, stubs: Sequence["party_pb2_grpc.PartyAsyncStub"]) -> None:
        self.stubs = stubs

    async def hand_in(
        self, requests: Sequence[common_pb2.Request], sealed: SealedRequest, program: bytes = b""
    ) -> list[party_pb2.RunResponse]:
        """A share to each party, each with the request that it is to believe, and then the run."""
        uploads = [[m async for m in sealed.upload(program)] for _ in self.stubs]
        for party, messages in enumerate(uploads):
            header = messages[0].header
            header.request.CopyFrom(requests[party])
            own = header.shares[party]
            del header.shares[:]
            header.shares.append(own)
        for party, stub in enumerate(self.stubs):
            parts = [m for m in uploads[party] if m.HasField("header") or m.chunk.party == party]
            await stub.Deposit(raw.stream(parts), timeout=SECONDS)
        return await self.run(requests, sealed, handed_in=True)

    async def run(
        self,
        requests: Sequence[common_pb2.Request],
        sealed: SealedRequest,
        *,
        handed_in: bool = False,
        seconds: float = SECONDS,
    ) -> list[party_pb2.RunResponse]:
        """An attempt, which is given up after so many seconds."""
        attempt = os.urandom(16)
        runs = [
            party_pb2.RunRequest(request=request, attempt=attempt, envelope=None if handed_in else envelope)
            for request, envelope in zip(requests, sealed.envelopes, strict=True)
        ]
        calls = [stub.Run(run, timeout=seconds) for stub, run in zip(self.stubs, runs, strict=True)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, party_pb2.RunResponse)]


async def image_shares(client: Client, photo: Path) -> list[bytes]:
    info = await client.models.info()
    return shared([pixels(capture(photo), info)], info.field_bits)
