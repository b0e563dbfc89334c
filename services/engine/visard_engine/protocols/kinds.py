"""The kinds of sections that a kit may have: for each protocol that consumes something, how that is dealt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from visard_engine.correlated import Dealing
from visard_engine.field import Field
from visard_engine.protocols import (
    blocks,
    choice,
    comparison,
    conjunction,
    degree,
    lockout,
    maximum,
    minimum,
    norm,
    relu,
    truncation,
    verification,
)

Arrays = Sequence[tuple[int, int]]  # of so many items of so many bytes each
MAX_POSITION_BITS = 24  # of a row among 2^24
MAX_ROW = 1 << 16
MAX_VECTOR = 1 << 22


@dataclass(frozen=True)
class Kind:
    """How a section is dealt, which corrected arrays it holds, and what its third number may be in a field (exponent q)."""

    deal: Callable[[Dealing, int, int], object]
    arrays: Callable[[Field, int, int], Arrays]
    extents: Callable[[int], range] = lambda q: range(1)
    meaning: str = "0"


def _bits_to_drop(q: int) -> range:
    return range(1, q - 3)


_DROPS = "1 to q - 4 bits to drop"
KINDS = {
    "relu": Kind(relu.deal, relu.arrays, _bits_to_drop, _DROPS),
    "truncate": Kind(truncation.deal, truncation.arrays, _bits_to_drop, _DROPS),
    "max": Kind(maximum.deal, maximum.arrays, lambda q: range(q - 3), "0 to q - 4 spare bits"),
    "min": Kind(minimum.deal, minimum.arrays, lambda q: range(MAX_POSITION_BITS), "bits of the positions so far"),
    "compare": Kind(comparison.deal_exact, comparison.exact_arrays),
    "norm": Kind(norm.deal, norm.arrays, lambda q: range(1, MAX_VECTOR + 1), "a vector's length"),
    "and": Kind(conjunction.deal, conjunction.arrays),
    "choose": Kind(choice.deal, choice.arrays, lambda q: range(1, MAX_POSITION_BITS + 1), "bits of the position"),
    "lockout": Kind(lockout.deal, lockout.arrays),
    "degree": Kind(degree.deal, degree.arrays),
    "search": Kind(blocks.deal, blocks.arrays, lambda q: range(1, blocks.MOST_LIMITS + 1), "limits"),
    "shown": Kind(blocks.deal_shown, blocks.shown_arrays),
    "coin": Kind(verification.deal_coin, verification.coin_arrays),
    "inner": Kind(verification.deal_inner, verification.inner_arrays),
    "squares": Kind(
        verification.deal_squares, verification.square_arrays, lambda q: range(1, MAX_ROW + 1), "a row's length"
    ),
}
