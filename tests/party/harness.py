"""Three parties' links over real mutual TLS, in one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
from visard.cluster import free_port_base
from visard_common.rpc import FaultInterceptor
from visard_common.tls import SERVER_OPTIONS, Tls
from visard_common.vouching import VouchingInterceptor
from visard_party.peers.framing import add_exchange
from visard_party.peers.links import PeerLinks
from visard_party.peers.servicer import PeerServicer

from tests.waiting import until


def tls(pki: Path, name: str) -> Tls:
    """The files of a role."""
    return Tls(ca=pki / "ca.pem", cert=pki / f"{name}.pem", key=pki / f"{name}.key")


class LinkedParty:
    """One party: its links, their server and the task that calls the others."""

    def __init__(self, pki: Path, index: int, addresses: tuple[str, str, str], worker: int = 0) -> None:
        self.links = PeerLinks(index, addresses, tls(pki, f"party{index}"), worker=worker)
        self._tls, self._address = tls(pki, f"party{index}"), addresses[index]
        self._server: grpc.aio.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen and call."""
        self._server = grpc.aio.server(
            interceptors=[FaultInterceptor(), VouchingInterceptor(self._tls)], options=SERVER_OPTIONS
        )
        add_exchange(PeerServicer(self.links).Exchange, self._server)
        self._server.add_secure_port(self._address, self._tls.server_credentials())
        await self._server.start()
        self._task = asyncio.create_task(self.links.keep_calling_all())

    async def stop(self) -> None:
        """Gone, as after a crash."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.links.close()
        if self._server is not None:
            await self._server.stop(0)


@asynccontextmanager
async def linked(pki: Path, workers: tuple[int, int, int] = (0, 0, 0)) -> AsyncIterator[list[LinkedParty]]:
    """Three parties with all links up; or workers of theirs, by number, which have links where the numbers are the same."""
    base = free_port_base()
    addresses = (f"localhost:{base}", f"localhost:{base + 1}", f"localhost:{base + 10}")
    parties = [LinkedParty(pki, i, addresses, workers[i]) for i in range(3)]
    async with AsyncExitStack() as stack:
        for party in parties:
            await party.start()
            stack.push_async_callback(party.stop)
        await until(lambda: len({*workers}) > 1 or all(party.links.up() for party in parties))
        yield parties
