"""What each operation is, said once: gateway and parties derive from it what a request may hold, who may ask, what it costs.

An operation is a number of ``common_pb2.Operation`` in a request; ``DECLARED`` has a ``Declared`` for each. How a party does it
stands in visard_party.operations. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from visard_wire.v1 import common_pb2

from visard_common.limits import MAX_CROSSING_BYTES, MAX_IMAGES, MAX_TERMS_BYTES

VERIFIERS = ("verifier", "enroller", "owner")
ENROLLERS = ("enroller", "owner")
OWNERS = ("owner",)
ADMINS = ("admin",)


class Charged(Enum):
    """Which budgets an operation takes an attempt from (visard_party.budgets.budget)."""

    NOTHING = "nothing"
    CALLER = "caller"
    SUBJECT = "caller and subject"
    SEARCH = "caller, gallery and the caller's searches there"
    ENROLMENT = "the caller's enrolments; one that is compared with others is a search as well"
    MIGRATION = "caller, subject and the caller's enrolments"


class Subject(Enum):
    """Whether a request names a subject."""

    NONE = "none"
    NEEDED = "needed"
    OPTIONAL = "optional"


class Gallery(Enum):
    """Whether a request is about a gallery, and what that gallery's rules must let its caller do."""

    NONE = "none"
    ENROL = "enrol"
    VERIFY = "verify"
    SEARCH = "search"
    ANY = "any"  # administrators, to whom the rules do not apply


@dataclass(frozen=True)
class Declared:
    """What an operation may do and needs. ``fields`` are those of a request that only some may set, and this one may."""

    roles: tuple[str, ...]  # who may ask; nobody where the gateway asks by itself, unsigned
    writes: bool = False  # changes what is stored: its id may come again
    images: range = range(1)  # in its share
    has_share: bool = False  # is uploaded
    message_bytes: int = 0  # its share is neither images nor weights, but a message of at most so many bytes
    subject: Subject = Subject.NONE
    model: bool = True  # is about one model
    gallery: Gallery = Gallery.NONE
    also: Gallery = Gallery.NONE  # what its rules must let the caller do besides
    long: bool = False  # is about everything that is stored, and takes as long as an administrator waits
    decides: bool = True  # may name an operating point
    fields: frozenset[str] = frozenset()
    claims: bool = False  # changes references in its caller's name, who needs a right where others have enrolled them
    charged: Charged = Charged.NOTHING
    restores: bool = False  # writes one party's store anew, from the others
    tells: bool = False  # opens to the parties whether a face matched, before it writes: not where failures are counted
    counted: bool = False  # a failure is counted where the gallery locks: a write too, but its id may not come again

    @property
    def signed(self) -> bool:
        """Whether a caller asks, and signs; else the gateway asks by itself."""
        return bool(self.roles)

    @property
    def takes_turns(self) -> bool:
        """Whether party 0 orders it among the writes."""
        return self.writes or self.restores

    @property
    def has_program(self) -> bool:
        """Whether a program comes with its share, which is one of the program's weights; else it is one of images."""
        return self.has_share and "program_digest" in self.fields


DECLARED: Mapping[int, Declared] = {
    common_pb2.OPERATION_ENROL: Declared(
        ENROLLERS,
        writes=True,
        images=range(1, MAX_IMAGES + 1),
        has_share=True,
        subject=Subject.NEEDED,
        gallery=Gallery.ENROL,
        fields=frozenset({"replace", "unique", "review", "ttl_seconds", "metadata", "instead_of"}),
        claims=True,
        charged=Charged.ENROLMENT,
    ),
    common_pb2.OPERATION_VERIFY: Declared(
        VERIFIERS,
        images=range(1, 2),
        has_share=True,
        subject=Subject.NEEDED,
        gallery=Gallery.VERIFY,
        charged=Charged.SUBJECT,
        counted=True,
    ),
    common_pb2.OPERATION_IDENTIFY: Declared(
        VERIFIERS,
        images=range(1, MAX_IMAGES + 1),
        has_share=True,
        gallery=Gallery.SEARCH,
        fields=frozenset({"allow_large_gallery", "nearest"}),
        charged=Charged.SEARCH,
    ),
    common_pb2.OPERATION_COMPARE: Declared(VERIFIERS, images=range(2, 3), has_share=True, charged=Charged.CALLER),
    common_pb2.OPERATION_RUN: Declared(
        VERIFIERS, images=range(1, 2), has_share=True, decides=False, charged=Charged.CALLER
    ),
    common_pb2.OPERATION_MIGRATE: Declared(
        ENROLLERS,
        writes=True,
        images=range(1, 2),
        has_share=True,
        subject=Subject.NEEDED,
        gallery=Gallery.VERIFY,
        also=Gallery.ENROL,
        fields=frozenset({"new_model", "keep", "instead_of"}),
        claims=True,
        charged=Charged.MIGRATION,
        tells=True,
    ),
    common_pb2.OPERATION_DELETE: Declared(
        ENROLLERS,
        writes=True,
        subject=Subject.NEEDED,
        gallery=Gallery.ENROL,
        fields=frozenset({"reference_ids", "instead_of"}),
        claims=True,
    ),
    common_pb2.OPERATION_REVIEW: Declared(
        (*ENROLLERS, *ADMINS),
        writes=True,
        subject=Subject.NEEDED,
        decides=False,
        gallery=Gallery.ENROL,
        fields=frozenset({"reference_ids", "accept", "instead_of"}),
        claims=True,
    ),
    common_pb2.OPERATION_RENAME: Declared(
        ENROLLERS,
        writes=True,
        subject=Subject.NEEDED,
        gallery=Gallery.ENROL,
        fields=frozenset({"new_subject", "instead_of"}),
        claims=True,
    ),
    common_pb2.OPERATION_PUBLISH: Declared(
        OWNERS, writes=True, has_share=True, fields=frozenset({"program_digest", "instead_of"})
    ),
    common_pb2.OPERATION_CALIBRATE: Declared(
        OWNERS, writes=True, decides=False, fields=frozenset({"program_digest", "points", "instead_of"})
    ),
    common_pb2.OPERATION_WITHDRAW: Declared(OWNERS, writes=True, fields=frozenset({"instead_of"})),
    common_pb2.OPERATION_EXPIRE: Declared((), writes=True),
    common_pb2.OPERATION_REFRESH: Declared(
        ADMINS, writes=True, model=False, long=True, fields=frozenset({"instead_of"})
    ),
    common_pb2.OPERATION_RECOVER: Declared(ADMINS, model=False, long=True, fields=frozenset({"party"}), restores=True),
    common_pb2.OPERATION_GRANT: Declared(
        ADMINS,
        writes=True,
        subject=Subject.OPTIONAL,
        gallery=Gallery.ANY,
        fields=frozenset({"grantee", "instead_of"}),
    ),
    common_pb2.OPERATION_REVOKE: Declared(
        ADMINS,
        writes=True,
        subject=Subject.OPTIONAL,
        gallery=Gallery.ANY,
        fields=frozenset({"grantee", "instead_of"}),
    ),
    common_pb2.OPERATION_UNLOCK: Declared(
        ADMINS,
        writes=True,
        subject=Subject.OPTIONAL,
        decides=False,
        gallery=Gallery.ANY,
        fields=frozenset({"instead_of"}),
    ),
    common_pb2.OPERATION_CREATE_GALLERY: Declared(
        ADMINS, writes=True, model=False, decides=False, gallery=Gallery.ANY, fields=frozenset({"rules", "instead_of"})
    ),
    common_pb2.OPERATION_CHANGE_GALLERY: Declared(
        ADMINS, writes=True, model=False, decides=False, gallery=Gallery.ANY, fields=frozenset({"rules", "instead_of"})
    ),
    common_pb2.OPERATION_DELETE_GALLERY: Declared(
        ADMINS, writes=True, model=False, decides=False, gallery=Gallery.ANY, fields=frozenset({"instead_of"})
    ),
    common_pb2.OPERATION_EXPORT: Declared(
        ADMINS,
        has_share=True,
        message_bytes=MAX_TERMS_BYTES,
        decides=False,
        gallery=Gallery.ANY,
        fields=frozenset({"deployment"}),
    ),
    common_pb2.OPERATION_IMPORT: Declared(
        ADMINS,
        writes=True,
        has_share=True,
        message_bytes=MAX_CROSSING_BYTES,
        decides=False,
        gallery=Gallery.ANY,
        fields=frozenset({"deployment", "instead_of"}),
    ),
}

# fields that only some operations may set
FIELDS = frozenset[str]().union(*(declared.fields for declared in DECLARED.values()))


def word(operation: int) -> str:
    """An operation's name as people and logs write it: "enrol", "create_gallery"."""
    return common_pb2.Operation.Name(operation).removeprefix("OPERATION_").lower()  # type: ignore[arg-type]


def setting(field: str) -> str:
    """Who may set such a field, in words: "for delete only"."""
    names = [word(operation) for operation, declared in DECLARED.items() if field in declared.fields]
    writes = {word(operation) for operation, declared in DECLARED.items() if declared.writes and declared.signed}
    return "for writes only" if set(names) == writes else f"for {' and '.join(names)} only"
