"""Whether a page that has come from another deployment fits together: what its recipients tell each other about it."""

import hashlib

from visard_common.errors import FailedPrecondition
from visard_engine.errors import ProtocolError

from visard_party.peers.channel import SessionChannel

_HASH = 32  # bytes


async def agreed(channel: SessionChannel, terms: bytes, lines: bytes, weights: bytes, flags: bytes) -> list[bool]:
    """Which of a page's references one of the parties does not want; two rounds.

    In the first all three hear hashes of what must be the same, also of ``terms`` (request, signer, page), which
    party 0 alone has compared with each; and each other's flags, a byte a reference. In the second they compare what they have
    heard. Raises FailedPrecondition where the page does not fit together, or its network has other weights; ViewsDiffer where
    a party has told the others different things, ProtocolError for what is no such message.
    """
    hashes = [
        hashlib.sha256(label + terms + part).digest() for label, part in ((b"lines", lines), (b"weights", weights))
    ]
    own = b"".join([*hashes, flags])
    peers = [peer for peer in range(3) if peer != channel.party]
    sent = dict.fromkeys(peers, own)
    heard = await channel.exchange(sent, peers)
    channel.views.round("crossing", sent, heard)
    if any(len(one) != len(own) for one in heard.values()):
        raise ProtocolError("a peer sent something of another size about a page")
    said = [{**heard, channel.party: own}[party] for party in range(3)]
    await channel.compare("crossing", hashlib.sha256(b"visard crossing said v1" + b"".join(said)).digest())
    if len({one[:_HASH] for one in said}) > 1:
        raise FailedPrecondition(
            "the page does not fit together: a party of the source, or one here, has changed its part, or its request"
        )
    if len({one[_HASH : 2 * _HASH] for one in said}) > 1:
        raise FailedPrecondition("the network here has other weights than the one that the page was made with")
    return [any(of_one) for of_one in zip(*(one[2 * _HASH :] for one in said), strict=True)]
