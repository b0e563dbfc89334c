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
from collections.abc import Iterator

import numpy as np
from google.protobuf.message import DecodeError
from visard_common.errors import FailedPrecondition, InvalidArgument
from visard_engine.errors import ProtocolError
from visard_engine.field import Elements, Field, field_of
from visard_engine.kits import Kit
from visard_engine.nn.program import Program
from visard_engine.prf import Prf
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2, peer_pb2

from visard_party.consistency.recovery import Decision
from visard_party.intake.deposits import Deposit
from visard_party.operations import manifest
from visard_party.operations.base import Answer, Desk, Work
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import State

CHUNK = 1 << 20  # elements a message
RESTORATION_SECONDS = 600.0  # that the target may take to put everything in place
_ID_BYTES = 16


class Recover:
    """The target's store is written anew and takes the place of what it held; its kits are thrown away."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nothing may be written meanwhile."""
        return True

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        return Work(request, digest)

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        target = work.request.party
        restored = _receive(desk, channel) if desk.party == target else _help(desk, channel, target)
        return Answer(references_changed=await restored)

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        raise InvalidArgument.of("request.request_id", "fresh for every request")


async def _help(desk: Desk, channel: SessionChannel, target: int) -> int:
    """A helper's side; how many references were restored."""
    other = next(party for party in range(3) if party not in (desk.party, target))
    await _settle(desk, channel, other)
    mask = Prf(channel.keys.own if other == (desk.party + 1) % 3 else channel.keys.previous)
    labels, count, first = itertools.count(), 0, desk.party < other
    async for told in manifest.told(desk.store):
        page = told.encode()
        await channel.exchange({target: page if first else hashlib.sha256(page).digest()}, (target,))
        for field, share in _chunks(told):
            part = await asyncio.to_thread(masked, field, share, mask, next(labels), desk.party, other, target)
            await channel.exchange({target: part.data.cast("B")}, (target,))
        count += len(told.page.references)
    channel.round_seconds = RESTORATION_SECONDS
    await channel.exchange({}, (target,))  # it is stored
    return count


async def _settle(desk: Desk, channel: SessionChannel, other: int) -> None:
    """What only the target's log could decide was told to nobody: done where a helper did it, dropped elsewhere."""
    own = b"".join(await desk.store.pending())
    theirs = (await channel.exchange({other: own}, (other,)))[other]
    if len(theirs) % _ID_BYTES:
        raise ProtocolError("a peer sent ids of another size")
    joined = own + theirs
    ids = sorted({joined[k : k + _ID_BYTES] for k in range(0, len(joined), _ID_BYTES)})
    states = await desk.store.states(ids)
    message = bytes(states[request_id] for request_id in ids)
    heard = (await channel.exchange({other: message}, (other,)))[other]
    if len(heard) != len(ids):
        raise ProtocolError("a peer sent states of other writes")
    for request_id, state in zip(ids, heard, strict=True):
        if states[request_id] is not State.PENDING:
            continue
        await desk.writes.finish(request_id, Decision.COMMIT if state == State.COMMITTED else Decision.DROP)


def masked(field: Field, share: Elements, mask: Prf, label: int, party: int, other: int, target: int) -> Elements:
    """What a helper sends: its weighted share plus or minus the mask that it has in common with the other helper."""
    x, y, at = party + 1, other + 1, target + 1
    weighted = field.scale(share, (at - y) * pow(x - y, -1, field.p))
    stream = mask.elements(label, share.size, field)
    return field.add(weighted, stream) if party < other else field.subtract(weighted, stream)


def _chunks(told: manifest.Told) -> Iterator[tuple[Field, Elements]]:
    """The shares of a page as one vector, in parts that a message carries."""
    if told.model is None:
        return
    field = field_of(Program.from_json(told.model.program).q)
    vector = np.frombuffer(b"".join(share.reveal() for share in told.shares), field.dtype)
    for start in range(0, vector.size, CHUNK):
        yield field, vector[start : start + CHUNK]


async def _receive(desk: Desk, channel: SessionChannel) -> int:
    """The target's side. What it holds stays as it is until everything has come."""
    helpers = tuple(party for party in range(3) if party != desk.party)
    ready = dict.fromkeys(helpers, b"ready")
    for _ in range(2):  # the helpers settle
        await channel.exchange({}, ())
    await desk.store.begin_restoration()
    count, program = 0, None
    while not (page := await _page(channel, helpers)).last:
        program = Program.from_json(page.models[0].program) if page.models else program
        shares = await _shares(channel, helpers, page, program)
        await desk.store.restore(manifest.kept(page, shares))
        count += len(page.references)
    try:
        await desk.store.finish_restoration()
    finally:  # whatever becomes of it: what was in memory is not what is stored
        await desk.writes.forget()
    desk.stock.discard()
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
    for start in range(0, total, CHUNK):
        size = min(CHUNK, total - start)
        parts = (await channel.exchange(dict.fromkeys(helpers, b"ready"), helpers)).values()
        if any(len(part) != size * field.itemsize for part in parts):
            raise ProtocolError("a peer sent a chunk of another size")
        one, two = (np.frombuffer(bytearray(part), field.dtype) for part in parts)
        if not (field.is_reduced(one) and field.is_reduced(two)):
            raise ProtocolError("a peer sent a word that is no field element")
        whole += field.add(one, two).tobytes()
    step = len(whole) // count
    return [Secret(whole[k * step : (k + 1) * step]) for k in range(count)]
