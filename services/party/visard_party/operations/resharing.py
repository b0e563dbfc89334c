"""What two helpers send so that a third party has its share again: see visard_party.operations.restoration. Pure."""

from collections.abc import Iterator

import numpy as np
from visard_engine.errors import ProtocolError
from visard_engine.field import Elements, Field, field_of
from visard_engine.nn.program import Program
from visard_engine.prf import Prf
from visard_engine.prss import PairKeys

from visard_party.operations.manifest import Told

CHUNK = 1 << 20  # elements a message


def mask(keys: PairKeys, party: int, other: int) -> Prf:
    """The stream that two helpers have in common in a session, and the target does not know."""
    return Prf(keys.own if other == (party + 1) % 3 else keys.previous)


def masked(field: Field, share: Elements, mask: Prf, label: int, party: int, other: int, target: int) -> Elements:
    """What a helper sends: its weighted share plus or minus the mask that it has in common with the other helper."""
    x, y, at = party + 1, other + 1, target + 1
    weighted = field.scale(share, (at - y) * pow(x - y, -1, field.p))
    stream = mask.elements(label, share.size, field)
    return field.add(weighted, stream) if party < other else field.subtract(weighted, stream)


def chunks(told: Told) -> Iterator[tuple[Field, Elements]]:
    """The shares of a page as one vector, in parts that a message carries."""
    if told.model is None:
        return
    field = field_of(Program.from_json(told.model.program).q)
    vector = np.frombuffer(b"".join(share.reveal() for share in told.shares), field.dtype)
    for start in range(0, vector.size, CHUNK):
        yield field, vector[start : start + CHUNK]


def joined(field: Field, size: int, one: bytes, two: bytes) -> bytes:
    """The target's share of ``size`` elements, from what both helpers have sent of it; raises ProtocolError."""
    if {len(one), len(two)} != {size * field.itemsize}:
        raise ProtocolError("a peer sent a chunk of another size")
    first, second = (np.frombuffer(bytearray(part), field.dtype) for part in (one, two))
    if not (field.is_reduced(first) and field.is_reduced(second)):
        raise ProtocolError("a peer sent a word that is no field element")
    return field.add(first, second).tobytes()
