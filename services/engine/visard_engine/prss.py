"""Pseudorandom secret sharing from pairwise keys: random and zero sharings without a message.

Source: R. Cramer, I. Damgard, Y. Ishai, "Share conversion, pseudorandom secret-sharing and applications to secure
computation", TCC 2005. Pair key i is shared by parties i and i + 1 (mod 3). With f_i the polynomial of degree 1 that is
1 at 0 and 0 at the point of the party outside the pair, the value sum of u_i has the Shamir shares sum of u_i f_i(x)
(the convention of mpyc.thresha), and sum of u_i x f_i(x) is a sharing of zero of degree 2.
"""

from dataclasses import dataclass
from typing import Any

from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic
from visard_engine.prf import KEY_BYTES, Prf


@dataclass(frozen=True)
class PairKeys:
    """Two of the three pair keys, 16 bytes each: the one shared with the next party and the one with the previous."""

    own: bytes
    previous: bytes

    def __post_init__(self) -> None:
        if len(self.own) != KEY_BYTES or len(self.previous) != KEY_BYTES:
            raise ValueError(f"a pair key has {KEY_BYTES} bytes")

    def __repr__(self) -> str:
        return f"<PairKeys: 2 secret keys of {KEY_BYTES} bytes>"


def share_factors(field: Field, party: int) -> tuple[Any, Any]:
    """f_S at this party's point, for the pair it forms with the next party and with the previous one."""
    point = party + 1

    def at(outside: int) -> Any:
        return field.element((outside - point) * pow(outside, -1, field.p))

    return at((party + 2) % 3 + 1), at((party + 1) % 3 + 1)


class Prss:
    """One party's side of the sharings. All parties must ask for the same things in the same order."""

    def __init__(self, keys: PairKeys, party: int) -> None:
        self._own, self._previous = Prf(keys.own), Prf(keys.previous)
        self._party = party
        self._label = 0

    def _next_label(self) -> int:
        self._label += 1
        return self._label

    def zero_sharing(self, field: Field, n: int) -> Elements:
        """This party's shares of n zeros, of degree 2 and otherwise random."""
        label = self._next_label()
        own, previous = (prf.elements(label, n, field) for prf in (self._own, self._previous))
        point = self._party + 1
        factors = [field.element(int(f) * point) for f in share_factors(field, self._party)]
        return arithmetic.combine(own, previous, *factors)
