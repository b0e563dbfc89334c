"""Everything about a store but its shares, as one message to a party that is being restored. Pure."""

from collections.abc import Sequence
from typing import cast

from visard.secret import Secret
from visard.v1 import peer_pb2

from services.party.store.base import LogEntry, ModelRecord, Reference, Right, State


def pack(
    rows: Sequence[Reference],
    models: Sequence[ModelRecord],
    log: Sequence[LogEntry],
    tombstones: Sequence[str],
    rights: Sequence[Right] = (),
) -> bytes:
    """The message; equal stores give equal bytes, whichever party packs."""
    message = peer_pb2.Manifest(
        references=[
            peer_pb2.ManifestReference(
                reference_id=row.reference_id,
                subject=row.subject,
                model=row.model,
                version=row.version,
                created_unix_ms=row.created_unix_ms,
                updated_unix_ms=row.updated_unix_ms,
                expires_unix_ms=row.expires_unix_ms,
                metadata=row.metadata,
                enrolled_by=row.enrolled_by,
            )
            for row in rows
        ],
        models=[
            peer_pb2.ManifestModel(
                name=model.name, program=model.program, version=model.version, created_unix_ms=model.created_unix_ms
            )
            for model in models
        ],
        # what was dropped here may never have been seen elsewhere: only what was committed is common to all
        writes=[_write(entry) for entry in log if entry.state is State.COMMITTED],
        tombstones=tombstones,
        rights=[peer_pb2.ManifestRight(model=r.model, subject=r.subject, grantee=r.grantee) for r in rights],
    )
    return message.SerializeToString(deterministic=True)


def _write(entry: LogEntry) -> peer_pb2.ManifestWrite:
    return peer_pb2.ManifestWrite(
        request_id=entry.request_id,
        kind=entry.kind,
        digest=entry.digest,
        state=cast("peer_pb2.LogEntry.State.ValueType", int(entry.state)),
        changes=entry.changes,
    )


def parse(data: bytes) -> peer_pb2.Manifest:
    """The message; raises DecodeError."""
    return peer_pb2.Manifest.FromString(data)


def reference(row: peer_pb2.ManifestReference, share: Secret) -> Reference:
    """A reference with this party's share."""
    times = (row.created_unix_ms, row.updated_unix_ms, row.expires_unix_ms)
    return Reference(
        row.reference_id, row.subject, row.model, row.version, *times, row.metadata, share, row.enrolled_by
    )


def model(told: peer_pb2.ManifestModel, weights: Secret) -> ModelRecord:
    """A model with this party's share."""
    return ModelRecord(told.name, told.program, told.version, told.created_unix_ms, weights)


def right(told: peer_pb2.ManifestRight) -> Right:
    """A right."""
    return Right(told.model, told.subject, told.grantee)


def write(entry: peer_pb2.ManifestWrite) -> LogEntry:
    """An entry of the log."""
    return LogEntry(entry.request_id, entry.kind, entry.digest, State(entry.state), entry.changes)
