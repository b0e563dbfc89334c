"""What a party asks of its workers, and what they hold for a run: public, but for the shares."""

from dataclasses import dataclass

from visard_wire.digests import of_parts
from visard_wire.v1 import worker_pb2

from visard_party.gallery import Rows
from visard_party.store.contents import Place


@dataclass(frozen=True)
class Wanted:
    """Which references a run is about: a field's of a place, but for those whose time is over then, and for one subject's."""

    place: Place
    field_bits: int
    at_unix_ms: int
    without: str = ""


@dataclass(frozen=True)
class Held:
    """What the workers keep for a run, each its part: public. ``room`` is that of the longest name of all."""

    session: bytes
    parts: tuple[worker_pb2.HoldResponse, ...] = ()

    def __len__(self) -> int:
        return sum(part.references for part in self.parts)

    @property
    def room(self) -> int:
        """Bytes for a subject in an answer."""
        return max(part.room for part in self.parts)

    @property
    def sizes(self) -> set[int]:
        """Elements of the descriptors: one number, but where a model was published anew in another way."""
        return {part.descriptor_size for part in self.parts if part.references}

    @property
    def digest(self) -> bytes:
        """Of all public names, and of who has which."""
        parts = [part.references.to_bytes(8, "big") + part.digest for part in self.parts]
        return of_parts(b"visard parts v1", parts)


@dataclass(frozen=True)
class Described:
    """By which version of which model photos are described, in which run on which terms."""

    model: str
    model_digest: bytes
    terms: bytes
    session: bytes


Searched = Rows | Held
