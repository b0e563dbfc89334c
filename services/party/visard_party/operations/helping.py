"""A helper's side of a recovery: see visard_party.operations.restoration."""

import asyncio
import hashlib
import itertools

from visard_engine.errors import ProtocolError

from visard_party.consistency.recovery import Decision
from visard_party.operations import manifest, resharing
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import State

RESTORATION_SECONDS = 600.0  # that the target may take to put everything in place
_ID_BYTES = 16


async def help_restore(resources: Resources, channel: SessionChannel, target: int) -> int:
    """Tell the target all that is held here, with masked shares; how many references it has then.

    Raises EngineError where the target or the other helper ends it, StoreError.
    """
    other = next(party for party in range(3) if party not in (resources.party, target))
    await _settle(resources, channel, other)
    mask = resharing.mask(channel.keys, resources.party, other)
    labels, count, first = itertools.count(), 0, resources.party < other
    async for told in manifest.told(resources.store):
        page = told.encode()
        await channel.exchange({target: page if first else hashlib.sha256(page).digest()}, (target,))
        for field, share in resharing.chunks(told):
            part = await asyncio.to_thread(
                resharing.masked, field, share, mask, next(labels), resources.party, other, target
            )
            await channel.exchange({target: part.data.cast("B")}, (target,))
        count += len(told.page.references)
    await channel.exchange({}, (target,), RESTORATION_SECONDS)  # it is stored
    return count


async def _settle(resources: Resources, channel: SessionChannel, other: int) -> None:
    """What only the target's log could decide was told to nobody: done where a helper did it, dropped elsewhere."""
    own = b"".join(await resources.store.pending())
    theirs = (await channel.exchange({other: own}, (other,)))[other]
    if len(theirs) % _ID_BYTES:
        raise ProtocolError("a peer sent ids of another size")
    joined = own + theirs
    ids = sorted({joined[k : k + _ID_BYTES] for k in range(0, len(joined), _ID_BYTES)})
    states = await resources.store.states(ids)
    message = bytes(states[request_id] for request_id in ids)
    heard = (await channel.exchange({other: message}, (other,)))[other]
    if len(heard) != len(ids):
        raise ProtocolError("a peer sent states of other writes")
    for request_id, state in zip(ids, heard, strict=True):
        if states[request_id] is not State.PENDING:
            continue
        await resources.writes.finish(request_id, Decision.COMMIT if state == State.COMMITTED else Decision.DROP)
