"""Counters of failures in a row, and which of them go with references that go.

A counter is a row beside its gallery (Place.counting), of a model and a subject, with an id of its own after each verification:
so all that is done with references is done with it (staged and committed at all three parties or at none, compared, renewed,
restored), and nothing that looks for references meets it. It holds this party's shares of where the one is among zeros
(visard_engine.protocols.lockout), in a vector of a descriptor's length.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from visard_common.errors import FailedPrecondition
from visard_engine.field import Elements
from visard_engine.protocols import lockout
from visard_wire.errors import SUBJECT_LOCKED
from visard_wire.secret import Secret

from visard_party.gallery import Rows
from visard_party.operations.prepared import Prepared
from visard_party.store.base import Store
from visard_party.store.contents import Name, Place, Reference, counting_room


@dataclass(frozen=True)
class Counting(Prepared):
    """A verification that is counted, with the subject's counter: none before the first one."""

    counters: Sequence[Reference] = field(kw_only=True)

    @property
    def counter(self) -> Elements:
        """This party's shares (allowed + 1,) of how many have failed in a row."""
        words, allowed = self.network.field, self.asked.lock_after
        if not self.counters:
            return lockout.nothing(words, allowed + 1)
        return lockout.folded(words, np.asarray(Rows.of(self.counters[:1], words).shares)[0], allowed)

    def afterwards(self, counter: Elements) -> Reference:
        """The row of a counter as it is after this verification."""
        request, place = self.request, Place.of(self.request).counting
        name = hashlib.sha256(b"visard failures v1" + self.asked.digest).hexdigest()[:32]
        vector = np.zeros(self.network.program.output.size, counter.dtype)
        vector[: counter.size] = counter
        share, times = Secret(vector.tobytes()), (request.sent_unix_ms, request.sent_unix_ms, 0)
        return Reference(name, request.subject, place.model, 1, *times, b"", share, gallery=place.gallery)


def locked() -> FailedPrecondition:
    """How a verification of a subject is refused whose counter has come to its end."""
    return FailedPrecondition(SUBJECT_LOCKED)


async def left_behind(store: Store, going: Sequence[Name]) -> list[Reference]:
    """Counters of whoever has no reference but these, by place and subject; raises StoreError."""
    counted = {g for g in sorted({name.gallery for name in going}) if await store.count_in(counting_room(g))}
    ids, found = {name.reference_id for name in going}, list[Reference]()
    for place, subject in sorted({(Place(n.model, n.gallery), n.subject) for n in going if n.gallery in counted}):
        counters = await store.references(place.counting, subject)
        if counters and all(row.reference_id in ids for row in await store.references(place, subject)):
            found += counters
    return found
