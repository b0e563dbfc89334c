"""Verification: do all claims of a session hold?

Functionality: the claims of a session (visard_engine.claims) -> nothing; raises CheckFailed unless all hold.
Cost: three rounds; each party sends COIN words, twice 2 words a pair, 1 word an element of the rows of squares, and 2 words.
Dealt: REPETITIONS elements, and one a row of squares.
Security: what is opened is masked by dealt values, but for the last: zeros where all claims hold, else a combination of the
liar's own errors. A claim that does not hold passes with probability (3 / p)^REPETITIONS at most (q = 31: below 2^-58).
How: first a coin is opened that nobody knew while what it tests was opened. It gives random vectors that collapse each
matrix product to one inner product, Z = W X to (rho W)(X sigma) (Freivalds), and all of them are one inner product <u, w>. With
a dealt triple [m], [n], [<m, n>] it is opened whether it is what it should be: u - m and w - n are opened, then the difference.
For sums of squares of the rows of a matrix the row itself is masked, and its mask's sum of squares dealt: one opening serves
both repetitions.
Source: R. Freivalds, "Probabilistic machines can use less running time", IFIP 1977; checking multiplications by sacrificing
a triple: I. Damgard, M. Keller et al., "Practical covertly secure MPC for dishonest majority", ESORICS 2013.
"""

import hashlib

import numpy as np

from visard_engine.claims import Folded, Squares, Stream
from visard_engine.correlated import Dealing, DealtValue
from visard_engine.errors import CheckFailed, KitError
from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic
from visard_engine.prf import KEY_BYTES
from visard_engine.protocols import sizes
from visard_engine.protocols.opening import open_lines
from visard_engine.session import Session

COIN = 8  # elements: more than a PRF's key has bits
REPETITIONS = 2  # 2^-30 each for q = 31


def coin_arrays(field: Field, n: int, _: int) -> sizes.Arrays:
    """What ``deal_coin`` corrects: nothing."""
    return []


def deal_coin(d: Dealing, n: int, _: int) -> None:
    """Deal n coins."""
    d.random(COIN * n)


def inner_arrays(field: Field, n: int, _: int) -> sizes.Arrays:
    """What ``deal_inner`` corrects."""
    return [*sizes.values(field, 1, 1)] * REPETITIONS


def deal_inner(d: Dealing, n: int, _: int) -> None:
    """Deal for each repetition two random vectors (n,) and their inner product."""
    for _repetition in range(REPETITIONS):
        m, other = d.random(n), d.random(n)
        d.value(arithmetic.products(m[None], other))


def square_arrays(field: Field, rows: int, _: int) -> sizes.Arrays:
    """What ``deal_squares`` corrects."""
    return sizes.values(field, rows, 1)


def deal_squares(d: Dealing, rows: int, length: int) -> None:
    """Deal a random matrix (rows, length) and the sum of squares of each of its rows."""
    m = d.random(rows * length).reshape(rows, length)
    d.value(arithmetic.row_products(m, m))


async def verify(s: Session, pairs: int) -> None:
    """Verify the session's claims with triples for ``pairs`` pairs a kit; raises CheckFailed."""
    check = Check(s, pairs)
    coin = await open_lines(s, check.coin(), "coin")
    opened = await open_lines(s, await check.masked(coin), "triples")
    check.require(await open_lines(s, check.differences(opened), "differences"))


class Check:
    """What is opened in each of the three rounds, for a protocol that has more to open in them.

    Nothing that is claimed may be opened from the first round on: its coin must be unknown until then.
    """

    def __init__(self, s: Session, pairs: int) -> None:
        self._s, self._pairs = s, pairs

    def __repr__(self) -> str:
        return f"<Check of {self._s.claims}>"

    def coin(self) -> Elements:
        """What is opened first, (COIN,)."""
        dealt = self._s.kit.random(COIN * self._s.kit.count)
        return self._s.kit.share(dealt[:COIN])

    async def masked(self, coin: Elements) -> Elements:
        """What is opened second, (n,), from what was opened first."""
        s = self._s
        stream = Stream(s.field, _key(coin))
        self._folded = await s.compute(1 << 20, s.claims.fold, s.field, stream, REPETITIONS)
        sides = [_sides(s, one, self._pairs) for one in self._folded]
        self._triples = [_triple(s, self._pairs, left.size) for left, _ in sides]
        parts = [
            s.field.subtract(x, s.kit.share(m))
            for side, triple in zip(sides, self._triples, strict=True)
            for x, m in zip(side, triple[:2], strict=True)
        ]
        self._squares = _Squares(s)
        self._ends = np.cumsum([x.size for x in parts])
        return np.concatenate([*parts, self._squares.masked])

    def differences(self, opened: Elements) -> Elements:
        """What is opened third, (REPETITIONS,), from what was opened second: zeros where all claims hold."""
        parts = np.split(opened, self._ends)
        return np.concatenate(
            [
                _difference(
                    self._s, one, parts[2 * k], parts[2 * k + 1], self._triples[k], self._squares.sums(parts[-1])
                )
                for k, one in enumerate(self._folded)
            ]
        )

    def require(self, opened: Elements) -> None:
        """Raise CheckFailed unless what was opened third are zeros."""
        if opened.any():
            raise CheckFailed("a product is not what was opened of it")


def _key(coin: Elements) -> bytes:
    return hashlib.blake2b(coin.tobytes(), digest_size=KEY_BYTES, person=b"visard coin").digest()


def _sides(s: Session, folded: Folded, pairs: int) -> tuple[Elements, Elements]:
    """Left and right, filled up with zeros to the length of as many kits' triples as they take."""
    left, right = (np.concatenate([s.field.encode([]), *side]) for side in (folded.left, folded.right))
    kits = max(1, -(-left.size // pairs))
    if kits > s.kit.count:
        raise KitError(f"{s.kit.count} kits verify {s.kit.count * pairs} pairs, not {left.size}")
    fill = np.zeros(kits * pairs - left.size, left.dtype)
    return np.concatenate([left, fill]), np.concatenate([right, fill])


def _triple(s: Session, pairs: int, size: int) -> tuple[DealtValue, DealtValue, DealtValue]:
    """Two random vectors (size,), and the inner products of each kit's parts of them."""
    kits = s.kit.count
    m, n, product = s.kit.random(kits * pairs), s.kit.random(kits * pairs), s.kit.value(kits)
    return m[:size], n[:size], product[: size // pairs]


def _difference(
    s: Session,
    folded: Folded,
    d: Elements,
    e: Elements,
    triple: tuple[DealtValue, DealtValue, DealtValue],
    squares: Elements,
) -> Elements:
    """A share (1,) of <left, right> + weights . squares + rest: d e + d n + e m + <m, n>, and so on."""
    m, n, product = (s.kit.share(one) for one in triple)
    total = folded.rest
    for left, right in ((d, e), (d, n), (e, m), (product, np.ones_like(product))):
        total = s.field.add(total, arithmetic.products(left[None], right))
    return s.field.add(total, arithmetic.products(folded.weights[None], squares))


class _Squares:
    """The masked rows of squares, and from what is opened of them the sum of squares of each."""

    def __init__(self, s: Session) -> None:
        self._field, rows = s.field, s.claims.rows
        matrix = rows.matrix if isinstance(rows, Squares) else np.zeros((0, 0), s.field.dtype)
        self._shape = matrix.shape
        self.masked = matrix.reshape(-1)
        if matrix.size:
            self._m, self._sums = s.kit.share(s.kit.random(matrix.size)), s.kit.share(s.kit.value(len(matrix)))
            self.masked = s.field.subtract(self.masked, self._m)

    def sums(self, opened: Elements) -> Elements:
        """Shares (rows,) of sum (d + m)^2 = sum d (d + 2 m) + sum m^2 for what was opened, d (rows * length,)."""
        field, (rows, length) = self._field, self._shape
        if not rows:
            return opened[:0]
        doubled = field.add(field.add(self._m, self._m), opened)
        return field.add(
            arithmetic.row_products(opened.reshape(rows, length), doubled.reshape(rows, length)), self._sums
        )
