"""What the other parties call: one stream that carries all runs."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from visard_common.identity import require_party
from visard_common.uploads import refusing_politely

from visard_party.peers.framing import Incoming, Outgoing, add_exchange
from visard_party.peers.links import PeerLinks


class PeerServicer:
    """The service Peer; visard_party.peers.framing turns bytes into its frames."""

    def __init__(self, links: PeerLinks) -> None:
        self._links = links

    async def Exchange(  # noqa: N802
        self, request_iterator: AsyncIterator[Incoming], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Outgoing]:
        """The server's end of a link, for as long as it lives; raises what PeerLinks.serve refuses."""
        async with refusing_politely(request_iterator):
            async for frame in self._links.serve(require_party(context), request_iterator):
                yield frame


def add_peers(links: PeerLinks, server: grpc.aio.Server) -> None:
    """Let a server serve the peers of these links."""
    add_exchange(PeerServicer(links).Exchange, server)
