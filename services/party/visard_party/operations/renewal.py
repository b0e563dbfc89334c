"""Refresh: new shares for everything that is stored, so that shares stolen before and after it do not fit together.

Functionality: every stored sharing F becomes F + s x with s uniform; the secrets F(0) stay.
Cost: two rounds of 64 bytes, and the rounds of a write.
Security: a sharing of zero of degree 1 among three parties has one unknown, s, which any one new share together with its
old one gives away. So it costs nothing that all three parties know s: it is expanded from a seed to which each of them
contributes. Somebody who has one party's disk of before and another's of after has F(1) and F(2) + 2s: nothing. A party that
tells the two others different parts would leave them with shares that do not fit together: so before anything is written all
three compare a hash of the seed, and of what is to be renewed with it.
The sealing keys change with the shares: who had a disk of before can open an hour later nothing that was recorded.
Source: A. Herzberg, S. Jarecki, H. Krawczyk, M. Yung, "Proactive secret sharing", CRYPTO 1995.
"""

import asyncio
import hashlib
import os
from collections.abc import Sequence

import numpy as np
from typing_extensions import override
from visard_common.errors import NotFound
from visard_engine.errors import ProtocolError
from visard_engine.field import field_of
from visard_engine.kits import Kit
from visard_engine.nn.program import Program
from visard_engine.prf import KEY_BYTES, Prf
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import ModelRecord, Name, Reference, Renew

SEED_BYTES = 32


class Refresh(Operation):
    """Renew all references and all models' weights."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """New shares are computed from old ones, which nobody may change meanwhile."""
        return True

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        models = await _models(resources)
        if not models:
            raise NotFound("nothing is stored yet")
        rows = [row for model in models for row in await resources.everything_of(model.name)]
        weights = [Name("", "", model.name, model.version) for model in models]
        return Prepared(asked, names=[*names_of(rows), *weights], stored=rows)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        seed = await common_seed(channel, prepared.terms)
        models = await _models(resources)
        updated = prepared.request.sent_unix_ms
        renewed = await asyncio.to_thread(renew, seed, resources.party, models, prepared.stored, updated)
        changed = await resources.write(prepared, channel, renewed)
        resources.keys.rotate(prepared.request.request_id)
        return Outcome(references_changed=changed)

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        resources.keys.rotate(asked.request.request_id)  # the write may have been made after a crash, by recovery
        return Outcome()


async def _models(resources: Resources) -> list[ModelRecord]:
    return [
        record for name in await resources.store.models() if (record := await resources.store.model(name)) is not None
    ]


async def common_seed(channel: SessionChannel, terms: bytes) -> bytes:
    """A seed that all three parties know and to which each contributes 32 bytes; two rounds.

    In the second they compare a hash of it and of ``terms``: what is to be renewed. Raises ViewsDiffer where a party has told the
    others different parts, or they were led to renew different things, and ProtocolError for parts of another size.
    """
    own = os.urandom(SEED_BYTES)
    peers = [peer for peer in range(3) if peer != channel.party]
    sent = dict.fromkeys(peers, own)
    parts = await channel.exchange(sent, peers)
    channel.views.round("seed", sent, parts)
    if any(len(part) != SEED_BYTES for part in parts.values()):
        raise ProtocolError("a peer sent a seed of another size")
    said = {**parts, channel.party: own}
    seed = hashlib.sha256(b"visard refresh v1" + b"".join(said[party] for party in range(3))).digest()
    await channel.compare("seed agreement", hashlib.sha256(b"visard refresh seed v1" + seed + terms).digest())
    return seed


def renew(
    seed: bytes, party: int, models: Sequence[ModelRecord], rows: Sequence[Reference], updated_unix_ms: int
) -> Renew:
    """This party's new shares: each model's weights and its rows, in order, take slopes from one stream a model."""
    weights, descriptors = list[tuple[str, Secret]](), list[tuple[str, Secret]]()
    for model in models:
        own = [row for row in rows if row.model == model.name]
        q = Program.from_json(model.program).q
        fresh = _renewed(seed, model.name, party, q, [model.weights, *(row.descriptor for row in own)])
        weights.append((model.name, fresh[0]))
        descriptors += [(row.reference_id, share) for row, share in zip(own, fresh[1:], strict=True)]
    return Renew(tuple(descriptors), tuple(weights), updated_unix_ms)


def _renewed(seed: bytes, label: str, party: int, q: int, shares: Sequence[Secret]) -> list[Secret]:
    field = field_of(q)
    old = np.frombuffer(b"".join(share.reveal() for share in shares), field.dtype)
    key = hashlib.blake2b(label.encode(), key=seed, digest_size=KEY_BYTES, person=b"visard renew").digest()
    slope = Prf(key).elements(0, old.size, field)
    new = memoryview(field.add(old, field.scale(slope, party + 1)).tobytes())
    ends = np.cumsum([len(share) for share in shares])
    return [Secret(bytes(new[end - len(share) : end])) for share, end in zip(shares, ends, strict=True)]
