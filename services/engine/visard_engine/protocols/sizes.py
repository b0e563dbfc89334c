"""How large what a protocol's dealer deals is: a list of arrays, each of so many items of so many bytes."""

from collections.abc import Sequence

from visard_engine.bits import words_for
from visard_engine.field import Field

Arrays = Sequence[tuple[int, int]]

_WORD_BYTES = 8


def values(field: Field, n: int, rows: int) -> Arrays:
    """Rows of n dealt elements, in one array."""
    return [(rows * n, field.itemsize)]


def bits(rows: int, n: int) -> Arrays:
    """Rows of n dealt bits, in one array; none where there are no rows."""
    return [(rows * words_for(n), _WORD_BYTES)] if rows else []
