"""Everything about a store but its shares, a page at a time, to a party that is being restored. Pure but for the reading.

Pages are bounded by rows so that none is larger than a message between parties, whatever callers have written.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import cast

from visard_wire.secret import Secret
from visard_wire.v1 import peer_pb2

from visard_party.store.base import Store
from visard_party.store.contents import LogEntry, ModelRecord, Page, Reference, Right, State, Tombstone

REFERENCES = 200  # a page: at most 4 KiB of metadata each
ROWS = 1000  # of writes, tombstones, rights: names, ids and numbers


@dataclass(frozen=True)
class Told:
    """A page, and the shares that it speaks of: a model's weights, or its references' descriptors."""

    page: peer_pb2.Page
    model: ModelRecord | None = None  # whose weights or references these are
    shares: Sequence[Secret] = ()

    def encode(self) -> bytes:
        """Equal stores give equal bytes, whichever party tells."""
        return self.page.SerializeToString(deterministic=True)


async def told(store: Store) -> AsyncIterator[Told]:
    """The pages of a store, in order; raises StoreError."""
    for name in await store.models():
        record = await store.model(name)
        assert record is not None
        yield Told(peer_pb2.Page(models=[_model(record)]), record, [record.weights])
        after = ""
        while rows := await store.model_page(name, after, REFERENCES):
            after = rows[-1].reference_id
            page = peer_pb2.Page(references=[_reference(row) for row in rows])
            yield Told(page, record, [row.descriptor for row in rows])
    last_write = b""
    # what was dropped here may never have been seen elsewhere: only what was committed is common to all
    while writes := await store.log_page(last_write, ROWS):
        last_write = writes[-1].request_id
        yield Told(peer_pb2.Page(writes=[_write(entry) for entry in writes]))
    last_stone = ""
    while stones := await store.tombstones(last_stone, ROWS):
        last_stone = stones[-1].reference_id
        told_of = [
            peer_pb2.ManifestTombstone(reference_id=s.reference_id, expires_unix_ms=s.expires_unix_ms) for s in stones
        ]
        yield Told(peer_pb2.Page(tombstones=told_of))
    last_right = ""
    while rights := await store.rights(ROWS, last_right):
        last_right = rights[-1].right_id
        yield Told(peer_pb2.Page(rights=[_right(right) for right in rights]))
    yield Told(peer_pb2.Page(last=True))


def _reference(row: Reference) -> peer_pb2.ManifestReference:
    return peer_pb2.ManifestReference(
        reference_id=row.reference_id,
        subject=row.subject,
        model=row.model,
        version=row.version,
        created_unix_ms=row.created_unix_ms,
        updated_unix_ms=row.updated_unix_ms,
        expires_unix_ms=row.expires_unix_ms,
        metadata=row.metadata,
        enrolled_by=row.enrolled_by,
        gallery=row.gallery,
    )


def _right(right: Right) -> peer_pb2.ManifestRight:
    return peer_pb2.ManifestRight(
        model=right.model, subject=right.subject, grantee=right.grantee, gallery=right.gallery, may=right.may
    )


def _model(model: ModelRecord) -> peer_pb2.ManifestModel:
    return peer_pb2.ManifestModel(
        name=model.name, program=model.program, version=model.version, created_unix_ms=model.created_unix_ms
    )


def _write(entry: LogEntry) -> peer_pb2.ManifestWrite:
    return peer_pb2.ManifestWrite(
        request_id=entry.request_id,
        kind=entry.kind,
        digest=entry.digest,
        state=cast("peer_pb2.LogEntry.State.ValueType", int(entry.state)),
        changes=entry.changes,
        expires_unix_ms=entry.expires_unix_ms,
    )


def parse(data: bytes) -> peer_pb2.Page:
    """A page from its bytes; raises DecodeError."""
    return peer_pb2.Page.FromString(data)


def kept(page: peer_pb2.Page, shares: Sequence[Secret]) -> Page:
    """What to keep of a page, with this party's shares of what it speaks of; raises ValueError for a state there is not."""
    return Page(
        [_row(row, share) for row, share in zip(page.references, shares, strict=True)] if page.references else (),
        [model_of(one, share) for one, share in zip(page.models, shares, strict=True)] if page.models else (),
        [LogEntry(e.request_id, e.kind, e.digest, State(e.state), e.changes, e.expires_unix_ms) for e in page.writes],
        [Tombstone(stone.reference_id, stone.expires_unix_ms) for stone in page.tombstones],
        [Right(r.model, r.subject, r.grantee, r.gallery, r.may) for r in page.rights],
    )


def _row(row: peer_pb2.ManifestReference, share: Secret) -> Reference:
    times = (row.created_unix_ms, row.updated_unix_ms, row.expires_unix_ms)
    names = (row.reference_id, row.subject, row.model, row.version)
    return Reference(*names, *times, row.metadata, share, row.enrolled_by, row.gallery)


def model_of(told_of: peer_pb2.ManifestModel, weights: Secret) -> ModelRecord:
    """A model of which a helper told, with this party's share of its weights."""
    return ModelRecord(told_of.name, told_of.program, told_of.version, told_of.created_unix_ms, weights)
