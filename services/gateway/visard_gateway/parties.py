"""The gateway's three parties: the same call to all of them, and one answer or one fault out of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import structlog
from visard_common.channels import Renewed
from visard_common.errors import Internal, ServiceFault, Unavailable
from visard_common.limits import CANCEL_SECONDS, RETRY_SECONDS
from visard_common.rpc import fault_of
from visard_common.tls import Tls
from visard_wire.limits import PARTIES
from visard_wire.v1 import party_pb2, party_pb2_grpc

T = TypeVar("T")
Call = Callable[["party_pb2_grpc.PartyAsyncStub", int], Awaitable[T]]

# a run that fails ends at all three: the one who knows why says so, the others may only have seen it end
_GRACE_SECONDS = 0.5
_VAGUE = (Unavailable.code, Internal.code)

log = structlog.get_logger()


class Parties:
    """Channels to the three parties."""

    def __init__(self, addresses: tuple[str, str, str], tls: Tls) -> None:
        self._links = [Renewed(tls, f"party/{i}", address, _stub) for i, address in enumerate(addresses)]

    async def close(self) -> None:
        """Close the channels; calls in flight end with them."""
        for link in self._links:
            await link.close()

    def stub(self, party: int) -> "party_pb2_grpc.PartyAsyncStub":
        """What to call a party with, now."""
        return self._links[party].current()

    def reachable(self) -> list[bool]:
        """For each party whether its channel is up, or at rest."""
        return [not link.broken() for link in self._links]

    async def ask(self, call: Call[T], party: int) -> T:
        """One call to one party; raises ServiceFault that names it."""
        try:
            return await call(self.stub(party), party)
        except grpc.aio.AioRpcError as error:
            raise fault_of(error, f"party {party}") from error

    async def ask_all(self, call: Call[T]) -> list[T]:
        """The same call to all three at once; if one fails the others are cancelled, and the most telling fault raised."""
        tasks = [asyncio.ensure_future(self.ask(call, party)) for party in range(PARTIES)]
        try:
            _, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if waiting:
                await asyncio.wait(waiting, timeout=_GRACE_SECONDS)
            faults = [error for task in tasks if task.done() and (error := task.exception())]
            if faults:
                raise telling(faults)
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def cancel(self, request_id: bytes) -> None:
        """Tell all parties to forget a request; those that are away forget it by themselves."""
        request = party_pb2.CancelRequest(request_id=request_id)
        calls = (self.stub(party).Cancel(request, timeout=CANCEL_SECONDS) for party in range(PARTIES))
        for result in await asyncio.gather(*(_completed(call) for call in calls), return_exceptions=True):
            if isinstance(result, Exception):
                log.info("cancel not delivered", reason=type(result).__name__)


def _stub(channel: grpc.aio.Channel) -> "party_pb2_grpc.PartyAsyncStub":
    return party_pb2_grpc.PartyStub(channel)


async def _completed(call: Awaitable[party_pb2.CancelResponse]) -> party_pb2.CancelResponse:
    return await call


def telling(faults: list[BaseException]) -> BaseException:
    """Of several faults of one request, the one that says most."""
    known = [fault for fault in faults if isinstance(fault, ServiceFault)]
    named = [fault for fault in known if fault.code not in _VAGUE]
    away = [fault for fault in known if fault.message.startswith("party ")]
    return (named or away or known or faults)[0]


def agreeing(answers: list[T], what: str) -> T:
    """The answer that all three gave; raises Unavailable when they differ."""
    if any(answer != answers[0] for answer in answers):
        raise Unavailable(
            f"the parties disagree about {what}: try again, then see visard status", retry_after=RETRY_SECONDS
        )
    return answers[0]
