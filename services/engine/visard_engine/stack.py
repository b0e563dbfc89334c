"""A matrix of many rows in pieces: where rows change, pieces are made anew, and all others are those of the matrix before.

So a large gallery grows without being copied, and who still compares with the old matrix keeps little besides.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from visard_engine.field import Bools, Elements

MOST = 1 << 14  # rows of a piece
_LEAST = MOST // 4  # of one beside another
Edit = tuple[int, int, Elements]  # rows from, to, and what comes in their place (k, D)


@dataclass(frozen=True, eq=False)
class Stack:
    """N rows of D elements as matrices one after the other, at least one, to which nobody writes; ``of`` makes it."""

    pieces: tuple[Elements, ...]

    @classmethod
    def of(cls, pieces: Iterable[Elements]) -> "Stack":
        """Of matrices (n, D) that are given up to it; not of none. Those of a good size stay as they are."""
        return cls(_tidied(list(pieces)))

    def __repr__(self) -> str:
        return f"<Stack: {self.size} secret values>"

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return len(self), int(self.pieces[0].shape[1])

    @property
    def size(self) -> int:
        """Elements."""
        return sum(piece.size for piece in self.pieces)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Elements:
        """All of it as one matrix, which is a copy where there are several pieces."""
        return np.array(
            np.concatenate(self.pieces) if len(self.pieces) > 1 else self.pieces[0], dtype, copy=copy or None
        )

    def parts(self, part: slice) -> Iterator[Elements]:
        """Some rows, from a start to a stop, as matrices one after the other, views of the pieces; at least one."""
        start, stop, _ = part.indices(len(self))
        if start >= stop:
            yield self.pieces[0][:0]
        for piece, begin in zip(self.pieces, self._begins, strict=True):
            if begin < stop and start < begin + len(piece):
                yield piece[max(0, start - begin) : stop - begin]

    def where(self, chosen: Bools) -> "Stack":
        """The rows that are chosen (N,); pieces of which all are chosen are not copied."""
        marks = [chosen[begin : begin + len(piece)] for piece, begin in zip(self.pieces, self._begins, strict=True)]
        return Stack.of(piece if mark.all() else piece[mark] for piece, mark in zip(self.pieces, marks, strict=True))

    def edited(self, edits: Sequence[Edit]) -> "Stack":
        """With other rows in the places of some, none or one for each edit; in order. Only the pieces with edits are copied."""
        left, made = list(edits), list[Elements]()
        for k, (piece, begin) in enumerate(zip(self.pieces, self._begins, strict=True)):
            end, last = begin + len(piece), k == len(self.pieces) - 1
            here = len(left) if last else next((n for n, edit in enumerate(left) if edit[0] >= end), len(left))
            made.append(_changed(piece, begin, left[:here]) if here else piece)
            left = left[here:]
        return Stack.of(made)

    @cached_property
    def _begins(self) -> list[int]:
        """The number of each piece's first row."""
        return [0, *accumulate(map(len, self.pieces[:-1]))]


Matrix = Elements | Stack


def parts_of(rows: Matrix, part: slice) -> Iterator[Elements]:
    """Some rows of a matrix (N, D), from a start to a stop, as one or more matrices; nothing is copied."""
    if isinstance(rows, Stack):
        yield from rows.parts(part)
    else:
        yield rows[part]


def _changed(piece: Elements, begin: int, edits: Sequence[Edit]) -> Elements:
    """A piece whose first row has this number, after edits."""
    kept, at = list[Elements](), 0
    for start, stop, fresh in edits:
        kept += [piece[at : start - begin], fresh]
        at = stop - begin
    return _joined([*kept, piece[at:]])


def _joined(pieces: Sequence[Elements]) -> Elements:
    """One after the other; matrices without rows may be of another width."""
    filled = [piece for piece in pieces if len(piece)]
    return np.concatenate(filled) if filled else pieces[0][:0]


def _tidied(pieces: Sequence[Elements]) -> tuple[Elements, ...]:
    """Each of MOST rows at most; those with few are joined with their neighbours."""
    found = list[Elements]()
    for piece in pieces:
        if found and min(len(found[-1]), len(piece)) < _LEAST:
            found += _cut(_joined([found.pop(), piece]))
        else:
            found += _cut(piece)
    return tuple(found)


def _cut(piece: Elements) -> list[Elements]:
    """In equal pieces that can be freed by themselves, or as it is."""
    count = -(-len(piece) // MOST)
    return [part.copy() for part in np.array_split(piece, count)] if count > 1 else [piece]
