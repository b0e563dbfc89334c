"""The log of who asked for what, as a chain: each entry's hash covers the entry before it. Pure.

A party computes the hashes when it writes an entry; whoever reads the log computes them again. An entry that was changed,
taken out or moved makes the next hash wrong. The end of a chain can be cut off, and a whole chain can be made anew, without
that: hence three parties keep one each (visard.auditlog compares them).
"""

from dataclasses import dataclass

from visard_wire import digests
from visard_wire.v1 import gateway_pb2

GENESIS = bytes(32)  # what the first entry's hash goes on from
OK = "OK"
# the caller was told no: what was asked for was not done, and would not be if it were asked again
_REFUSED = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "RESOURCE_EXHAUSTED",
    }
)


@dataclass(frozen=True)
class Entry:
    """One request that a caller signed, and the name of the gRPC status it was answered with; never the answer.

    ``detail`` says which program a request publishes, or changes, and the operating points that it gives it; or a gallery's
    rules.
    ``gallery`` is empty for the one that always is.
    """

    sequence: int
    time_unix_ms: int
    caller: str
    operation: str
    model: str
    subject: str
    new_subject: str
    grantee: str
    request_id: bytes
    code: str
    detail: str = ""
    gallery: str = ""

    @property
    def outcome(self) -> str:
        """The class of the answer: ok, refused or failed."""
        return outcome(self.code)

    def link(self, previous: bytes) -> bytes:
        """This entry's hash (32 bytes), given that of the entry before."""
        numbers = b"".join(number.to_bytes(8, "big") for number in (self.sequence, self.time_unix_ms))
        texts = (self.caller, self.operation, self.model, self.subject, self.new_subject, self.grantee, self.code)
        fields = (*(text.encode() for text in texts), self.request_id)
        if self.detail or self.gallery:  # which came later: an entry without them has the hash that it always had
            fields = (*fields, self.detail.encode())
        if self.gallery:
            fields = (*fields, self.gallery.encode())
        return digests.of_parts(b"visard/v1/audit" + previous + numbers, fields)


def outcome(code: str) -> str:
    """The class of a gRPC status, by its name: ok, refused or failed."""
    return "ok" if code == OK else "refused" if code in _REFUSED else "failed"


def message(entry: Entry, link: bytes) -> gateway_pb2.AuditEntry:
    """An entry on the wire."""
    return gateway_pb2.AuditEntry(
        sequence=entry.sequence,
        time_unix_ms=entry.time_unix_ms,
        caller=entry.caller,
        operation=entry.operation,
        model=entry.model,
        subject=entry.subject,
        new_subject=entry.new_subject,
        grantee=entry.grantee,
        request_id=entry.request_id,
        code=entry.code,
        hash=link,
        detail=entry.detail,
        gallery=entry.gallery,
    )


def entry(told: gateway_pb2.AuditEntry) -> Entry:
    """An entry from the wire, but for its hash."""
    return Entry(
        told.sequence,
        told.time_unix_ms,
        told.caller,
        told.operation,
        told.model,
        told.subject,
        told.new_subject,
        told.grantee,
        told.request_id,
        told.code,
        told.detail,
        told.gallery,
    )
