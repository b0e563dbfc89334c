"""Where kits come from: the dealer's service, or what stands for it in tests."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import grpc
import numpy as np
from typing_extensions import override
from visard_common.channels import Renewed
from visard_common.errors import Unavailable
from visard_common.kitchunks import fetching
from visard_common.limits import FETCH_SECONDS
from visard_common.rpc import fault_of
from visard_common.tls import Tls
from visard_engine.channel import PARTIES
from visard_engine.kits import TAG_BYTES, KitPlan
from visard_engine.prf import KEY_BYTES
from visard_engine.prss import PairKeys
from visard_wire.v1 import dealer_pb2, dealer_pb2_grpc

from visard_party.kits.ledger import kit_id


@dataclass(frozen=True, repr=False)
class Fetched:
    """A party's part of one kit, as it was delivered: two seeds, the tag and the corrections of two pairs."""

    keys: PairKeys
    tag: bytes
    corrections: bytes | bytearray | memoryview

    def __repr__(self) -> str:
        return f"<Fetched: {len(self.corrections)} bytes of corrections>"


Seeds = tuple[bytes, bytes, bytes]


def room(plan: KitPlan) -> memoryview:
    """Where a party's corrections of a kit will lie, with anything in it: in huge pages, which cost little when they are new."""
    return np.empty(plan.correction_bytes, np.uint8).data


class KitSource(Protocol):
    """Where kits come from."""

    async def fetch(self, plan: KitPlan, number: int) -> Fetched:
        """This party's part of one kit; raises ServiceFault."""

    async def reveal(self, plan: KitPlan, number: int) -> Seeds | None:
        """All seeds of a kit that this party has set aside; None until all three have asked. Raises ServiceFault."""


class DealerSource(KitSource):
    """Kits from the dealer's service, for a party or its ``worker`` (visard_party.kits.ledger.kit_id)."""

    def __init__(self, channel: grpc.aio.Channel, worker: int = 0) -> None:
        self._worker = worker
        self._stub = dealer_pb2_grpc.DealerStub(channel)
        self._fetch = fetching(channel)

    @override
    async def fetch(self, plan: KitPlan, number: int) -> Fetched:
        named = self._named(number)
        request = dealer_pb2.FetchRequest(plan=plan.json(), first=named, count=1)
        header, corrections, size = None, room(plan), 0
        call = self._fetch(request, timeout=FETCH_SECONDS)
        try:
            async for chunk in call:
                if chunk is None:
                    raise Unavailable("the dealer sent what is no part of a kit")
                if not isinstance(chunk, memoryview):
                    header = chunk.header
                    continue
                start, size = size, size + len(chunk)
                if size > len(corrections):
                    break
                corrections[start:size] = chunk
        except grpc.aio.AioRpcError as error:
            raise fault_of(error, "the dealer") from error
        finally:
            call.cancel()
        whole = size == len(corrections)
        if header is None or header.id != named or header.plan_digest != plan.digest or not whole:
            raise Unavailable("the dealer sent another kit than asked for")
        if len(header.tag) != TAG_BYTES:
            raise Unavailable("the dealer sent a tag of a wrong size")
        try:
            return Fetched(PairKeys(header.seed_own, header.seed_previous), header.tag, corrections)
        except ValueError as error:
            raise Unavailable("the dealer sent seeds of a wrong size") from error

    @override
    async def reveal(self, plan: KitPlan, number: int) -> Seeds | None:
        request = dealer_pb2.RevealRequest(plan=plan.json(), id=self._named(number))
        try:
            answer: dealer_pb2.RevealResponse | None = await self._stub.Reveal(request, timeout=FETCH_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise fault_of(error, "the dealer") from error
        if answer is None:  # gRPC's word for bytes that are no answer
            raise Unavailable("the dealer showed what is no answer")
        if not answer.seeds:
            return None
        if [len(seed) for seed in answer.seeds] != [KEY_BYTES] * PARTIES:
            raise Unavailable("the dealer showed seeds of a wrong size")
        one, two, three = answer.seeds
        return one, two, three

    def _named(self, number: int) -> int:
        try:
            return kit_id(number, self._worker)
        except ValueError as error:  # a peer has named it
            raise Unavailable(str(error)) from error


class RenewedDealer(KitSource):
    """The dealer at an address, whatever becomes of our certificates; ``worker`` as in DealerSource."""

    def __init__(self, tls: Tls, address: str, worker: int = 0) -> None:
        self._source = Renewed(tls, "dealer", address, partial(DealerSource, worker=worker))

    @override
    async def fetch(self, plan: KitPlan, number: int) -> Fetched:
        return await self._source.current().fetch(plan, number)

    @override
    async def reveal(self, plan: KitPlan, number: int) -> Seeds | None:
        return await self._source.current().reveal(plan, number)

    async def close(self) -> None:
        """Close the channel to the dealer, and those before it."""
        await self._source.close()
