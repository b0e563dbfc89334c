"""Recover: write the store of a party that has lost it anew, from the two others.

Functionality: helpers a and b hold F(a + 1) and F(b + 1); the target t gets F(t + 1) and nothing else; a and b get nothing.
Cost: a round for each page (200 references, 1,000 writes) and one for each million elements; each helper sends one element
for each stored one. Nothing that callers have written makes a message larger than a page.
Security: F(t + 1) = l_a F(a + 1) + l_b F(b + 1). Helper a sends l_a F(a + 1) + m and helper b sends l_b F(b + 1) - m, where m is
expanded from the key that a and b share and t does not know: what t sees is uniform but for its sum.
Source: Shamir 1979 (interpolation); the masking is that of additive resharing.
"""

import asyncio
import hashlib
import itertools

from google.protobuf.message import DecodeError
from typing_extensions import override
from visard_common.errors import FailedPrecondition, InvalidArgument
from visard_engine.errors import ProtocolError
from visard_engine.field import field_of
from visard_engine.kits import Kit
from visard_engine.nn.program import Program
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2, peer_pb2

from visard_party.consistency.recovery import Decision
from visard_party.intake.asked import Asked
from visard_party.operations import manifest, resharing
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import State

RESTORATION_SECONDS = 600.0  # that the target may take to put everything in place
_ID_BYTES = 16


class Recover(Operation):
    """The target's store is written anew and takes the place of what it held; its kits are thrown away."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nothing may be written meanwhile."""
        return True

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        return Prepared(asked)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        target = prepared.request.party
        restored = _receive(resources, channel) if resources.party == target else _help(resources, channel, target)
        return Outcome(references_changed=await restored)

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        raise InvalidArgument.of("request.request_id", "fresh for every request")


async def _help(resources: Resources, channel: SessionChannel, target: int) -> int:
    """A helper's side; how many references were restored."""
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


async def _receive(resources: Resources, channel: SessionChannel) -> int:
    """The target's side. What it holds stays as it is until everything has come."""
    helpers = tuple(party for party in range(3) if party != resources.party)
    ready = dict.fromkeys(helpers, b"ready")
    for _ in range(2):  # the helpers settle
        await channel.exchange({}, ())
    await resources.store.begin_restoration()
    count, program = 0, None
    while not (page := await _page(channel, helpers)).last:
        program = Program.from_json(page.models[0].program) if page.models else program
        shares = await _shares(channel, helpers, page, program)
        await resources.store.restore(manifest.kept(page, shares))
        count += len(page.references)
    try:
        await resources.store.finish_restoration()
    finally:  # whatever becomes of it: what was in memory is not what is stored
        await resources.writes.forget()
    resources.stock.discard()
    await channel.exchange(ready, ())
    return count


async def _page(channel: SessionChannel, helpers: tuple[int, ...]) -> peer_pb2.Page:
    """The next page, which both helpers have told alike."""
    messages = await channel.exchange(dict.fromkeys(helpers, b"ready"), helpers)
    page, digest = messages[helpers[0]], messages[helpers[1]]
    if hashlib.sha256(page).digest() != digest:
        raise FailedPrecondition("the two other parties do not hold the same: run visard admin audit")
    try:
        return manifest.parse(page)
    except DecodeError as error:
        raise ProtocolError("a peer's page makes no sense") from error


async def _shares(
    channel: SessionChannel, helpers: tuple[int, ...], page: peer_pb2.Page, program: Program | None
) -> list[Secret]:
    """This party's shares of what a page speaks of: a model's weights, or the descriptors of references."""
    count = len(page.models) + len(page.references)
    if not count:
        return []
    if program is None or (page.models and page.references):
        raise ProtocolError("a peer tells of references before their model")
    field = field_of(program.q)
    total = program.weight_count if page.models else count * program.output.size
    whole = bytearray()
    for start in range(0, total, resharing.CHUNK):
        size = min(resharing.CHUNK, total - start)
        parts = (await channel.exchange(dict.fromkeys(helpers, b"ready"), helpers)).values()
        whole += resharing.joined(field, size, *parts)
    step = len(whole) // count
    return [Secret(whole[k * step : (k + 1) * step]) for k in range(count)]
