"""Recover: write the store of a party that has lost it anew, from the two others.

Functionality: helpers a and b hold F(a + 1) and F(b + 1); the target t gets F(t + 1) and nothing else; a and b get nothing.
Cost: a round for each MiB of elements; each helper sends one element for each stored one.
Security: F(t + 1) = l_a F(a + 1) + l_b F(b + 1). Helper a sends l_a F(a + 1) + m and helper b sends l_b F(b + 1) - m, where m is
expanded from the key that a and b share and t does not know: what t sees is uniform but for its sum.
Source: Shamir 1979 (interpolation); the masking is that of additive resharing.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from google.protobuf.message import DecodeError
from visard.secret import Secret
from visard.v1 import common_pb2, peer_pb2

from services.common.errors import FailedPrecondition, InvalidArgument
from services.mpc.errors import ProtocolError
from services.mpc.field import Elements, Field, field_of
from services.mpc.kits import Kit
from services.mpc.nn.program import Program
from services.mpc.prf import Prf
from services.party.deposits import Deposit
from services.party.operations import manifest
from services.party.operations.base import Answer, Desk, Work
from services.party.recovery import Decision
from services.party.runtime import SessionChannel
from services.party.store.base import ModelRecord, Reference, State, all_rights

CHUNK = 1 << 20  # elements a message
_ID_BYTES = 16


class Recover:
    """The target's store is erased and written anew; its kits are thrown away."""

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
    rows, models = await _everything(desk)
    log, tombstones = await desk.store.log(), await desk.store.tombstones()
    sealed = manifest.pack(rows, models, log, tombstones, await all_rights(desk.store))
    first = desk.party < other
    await channel.exchange({target: sealed if first else hashlib.sha256(sealed).digest()}, (target,))
    mask = Prf(channel.keys.own if other == (desk.party + 1) % 3 else channel.keys.previous)
    for label, (field, share) in enumerate(_chunks(_vectors(rows, models))):
        part = await asyncio.to_thread(masked, field, share, mask, label, desk.party, other, target)
        await channel.exchange({target: part.data.cast("B")}, (target,))
    await channel.exchange({}, (target,))  # it is stored
    return len(rows)


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


async def _everything(desk: Desk) -> tuple[list[Reference], list[ModelRecord]]:
    names = await desk.store.models()
    models = [record for name in names if (record := await desk.store.model(name)) is not None]
    return [row for name in names for row in await desk.store.gallery(name)], models


def masked(field: Field, share: Elements, mask: Prf, label: int, party: int, other: int, target: int) -> Elements:
    """What a helper sends: its weighted share plus or minus the mask that it has in common with the other helper."""
    x, y, at = party + 1, other + 1, target + 1
    weighted = field.scale(share, (at - y) * pow(x - y, -1, field.p))
    stream = mask.elements(label, share.size, field)
    return field.add(weighted, stream) if party < other else field.subtract(weighted, stream)


def _vectors(rows: Sequence[Reference], models: Sequence[ModelRecord]) -> Iterator[tuple[Field, Elements]]:
    """For each model its weights and then its references, as one vector."""
    for model in models:
        field = field_of(Program.from_json(model.program).q)
        parts = [model.weights.reveal(), *(row.descriptor.reveal() for row in rows if row.model == model.name)]
        yield field, np.frombuffer(b"".join(parts), field.dtype)


def _chunks(vectors: Iterator[tuple[Field, Elements]]) -> Iterator[tuple[Field, Elements]]:
    for field, vector in vectors:
        for start in range(0, vector.size, CHUNK):
            yield field, vector[start : start + CHUNK]


async def _receive(desk: Desk, channel: SessionChannel) -> int:
    """The target's side."""
    helpers = tuple(party for party in range(3) if party != desk.party)
    ready = dict.fromkeys(helpers, b"ready")
    for _ in range(2):  # the helpers settle
        await channel.exchange({}, ())
    messages = await channel.exchange(ready, helpers)
    sealed, digest = messages[helpers[0]], messages[helpers[1]]
    if hashlib.sha256(sealed).digest() != digest:
        raise FailedPrecondition("the two other parties do not hold the same: run visard admin audit")
    try:
        told = manifest.parse(sealed)
    except (DecodeError, ValueError) as error:
        raise ProtocolError("a peer's manifest makes no sense") from error
    try:
        await desk.store.clear()
    finally:  # at once: the transfer may fail, and this party then no longer holds what it remembers
        await desk.writes.forget()
    desk.stock.discard()
    rows, models = list[Reference](), list[ModelRecord]()
    for model in told.models:
        named = [row for row in told.references if row.model == model.name]
        weights, shares = await _shares(channel, helpers, model, len(named))
        models.append(manifest.model(model, weights))
        rows += [manifest.reference(row, share) for row, share in zip(named, shares, strict=True)]
    await desk.store.adopt(rows, models, [manifest.write(entry) for entry in told.writes], list(told.tombstones))
    await desk.store.adopt_rights([manifest.right(right) for right in told.rights])
    await desk.writes.forget()
    await channel.exchange(ready, ())
    return len(rows)


async def _shares(
    channel: SessionChannel, helpers: tuple[int, ...], model: peer_pb2.ManifestModel, count: int
) -> tuple[Secret, list[Secret]]:
    """This party's share of a model's weights and of ``count`` references."""
    program = Program.from_json(model.program)
    field, weights, width = field_of(program.q), program.weight_count, program.output.size
    whole = bytearray()
    total = weights + count * width
    for start in range(0, total, CHUNK):
        size = min(CHUNK, total - start)
        parts = (await channel.exchange(dict.fromkeys(helpers, b"ready"), helpers)).values()
        if any(len(part) != size * field.itemsize for part in parts):
            raise ProtocolError("a peer sent a chunk of another size")
        one, two = (np.frombuffer(bytearray(part), field.dtype) for part in parts)
        if not (field.is_reduced(one) and field.is_reduced(two)):
            raise ProtocolError("a peer sent a word that is no field element")
        whole += field.add(one, two).tobytes()
    split = weights * field.itemsize
    step = width * field.itemsize
    rows = [Secret(whole[k : k + step]) for k in range(split, len(whole), step)]
    return Secret(whole[:split]), rows
