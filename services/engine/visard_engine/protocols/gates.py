"""Products of bits from dealt products of their masks.

Functionality: <x_1> .. <x_k>, and public sets of them -> for each output the XOR over its sets of <AND of the set's bits>.
Cost: one round; each party sends k bits a gate. Dealt: a bit for every set of two bits or more within a wanted one.
Security: every opened bit is masked by a dealt one that is used once. It is opened replicated: each of the three pieces is
held by two parties, so a lie makes the views of the two honest ones differ (opening.py).
How: with m_i = x_i ^ l_i open, the AND of a set is the XOR over its subsets T of (AND of m_i outside T) <AND of l_i in T>:
linear in what was dealt, so local.
Source: A. Patra et al., "ABY2.0", USENIX Security 2021 (gates with many inputs from dealt products of masks).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from visard_engine.bits import PUBLIC_PIECE
from visard_engine.correlated import Dealing, KitReader
from visard_engine.field import Words
from visard_engine.kernels import bitslice
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Session

Set = tuple[int, ...]


@dataclass(frozen=True)
class Gate:
    """How many bits go in, and for each bit that comes out the sets whose ANDs it is the XOR of."""

    inputs: int
    outputs: tuple[tuple[Set, ...], ...]

    @cached_property
    def dealt(self) -> tuple[Set, ...]:
        """The sets whose products of masks are dealt, in the order of the dealt rows."""
        wanted = {s for output in self.outputs for s in output}
        return tuple(sorted({t for s in wanted for k in range(2, len(s) + 1) for t in combinations(s, k)}))

    @cached_property
    def terms(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Of each term: the opened bits that it multiplies, as a bit mask; its row of masks, -1 for none; its output."""
        rows = {(i,): i for i in range(self.inputs)} | {t: self.inputs + k for k, t in enumerate(self.dealt)} | {(): -1}
        found = [
            (sum(1 << i for i in s if i not in t), rows[t], output)
            for output, sets in enumerate(self.outputs)
            for s in sets
            for k in range(len(s) + 1)
            for t in combinations(s, k)
        ]
        rest, row, output = (np.array(column, np.int64) for column in zip(*found, strict=True))
        return rest, row, output


def deal(d: Dealing, gate: Gate, words: int, first: Words | None = None) -> None:
    """Deal one gate on each of 64 ``words`` bits; ``first`` (rows, words) are masks of its first inputs, dealt before."""
    given = np.zeros((0, words), np.uint64) if first is None else first
    fresh = d.random_bits((gate.inputs - len(given)) * words).reshape(-1, words)
    masks = np.concatenate([given, fresh])
    if gate.dealt:
        d.bits(np.stack([np.bitwise_and.reduce(masks[list(t)]) for t in gate.dealt]))


def read(kit: KitReader, gate: Gate, n: int, first: Words | None = None) -> Words:
    """The party's half of ``deal`` for n bits: masks and their products, (2, rows, words)."""
    given = [] if first is None else [first]
    fresh = gate.inputs - sum(part.shape[1] for part in given)
    masks = [kit.random_bits(fresh, n)] if fresh else []
    products = [kit.bits(len(gate.dealt), n)] if gate.dealt else []
    return np.concatenate([*given, *masks, *products], axis=1)


def public_piece(s: Session) -> int:
    """The index of the piece, of this party's two, to which public bits are added; 2 where it holds neither."""
    return (s.party - PUBLIC_PIECE) % 3


def outputs(s: Session, gate: Gate, opened: Words, dealt: Words) -> Words:
    """(2, outputs, words) from the opened masked inputs (inputs, words) and what was dealt; local."""
    return bitslice.products(opened, dealt, gate.terms, len(gate.outputs), public_piece(s))


async def evaluate(s: Session, gates: Iterable[tuple[Gate, Words, Words]], kind: str) -> list[Words]:
    """The outputs of several gates, each with its inputs (2, inputs, words) and what was dealt, in one round."""
    each = list(gates)
    masked = [inputs ^ dealt[:, : gate.inputs] for gate, inputs, dealt in each]
    widths = [x.shape[1] * x.shape[2] for x in masked]
    opened = await open_bits(s, np.concatenate([x.reshape(2, -1) for x in masked], axis=1), kind)
    parts = np.split(opened, np.cumsum(widths)[:-1])
    return [
        outputs(s, gate, part.reshape(gate.inputs, -1), dealt)
        for (gate, _, dealt), part in zip(each, parts, strict=True)
    ]
