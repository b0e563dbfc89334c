"""The target's side of a recovery: see visard_party.operations.restoration."""

import hashlib

from google.protobuf.message import DecodeError
from visard_common.errors import FailedPrecondition
from visard_engine.errors import ProtocolError
from visard_engine.field import field_of
from visard_engine.nn.program import Program
from visard_wire.secret import Secret
from visard_wire.v1 import peer_pb2

from visard_party.operations import manifest, resharing
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


async def receive(resources: Resources, channel: SessionChannel) -> int:
    """Write this party's store anew from what both helpers tell alike; how many references it has then.

    What it holds stays as it is until everything has come. Raises FailedPrecondition where the helpers do not hold the same,
    EngineError, StoreError.
    """
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
