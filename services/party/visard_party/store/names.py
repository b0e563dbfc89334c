"""Public names of many references in little memory: arrays, and a Name only for whom one is asked.

A million Names as objects take some half a gigabyte, as much as a party's shares of their descriptors.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from typing_extensions import override
from visard_wire import cells

from visard_party.store.contents import Name

_ID_WORDS = cells.ID_BYTES // 8
_ODD = np.uint64(int.from_bytes(os.urandom(8), "little") | 1)
_PART = 1 << 14  # names at a time that are objects while they are packed

Common = tuple[str, str, str]


@dataclass(frozen=True, eq=False, repr=False)
class Names(Sequence[Name]):
    """N names: 42 bytes each where subjects are short.

    ``labels`` (N, W) are id and subject as words, with room for the longest (visard_wire.cells), ``versions`` (N,), and
    ``kinds`` (N,) say which of ``common`` a name has: model, who enrolled it, and gallery; both as wide as they must be.
    """

    labels: npt.NDArray[np.uint64]
    versions: npt.NDArray[Any]
    kinds: npt.NDArray[Any]
    common: tuple[Common, ...] = ()

    @classmethod
    def of(cls, names: Iterable[Name]) -> "Names":
        """These names, in their order. Raises ValueError for an id that is not 32 hex digits."""
        parts = (list(part) for _, part in groupby(enumerate(names), lambda one: one[0] // _PART))
        return cls.joined([cls._packed([name for _, name in part]) for part in parts])

    @classmethod
    def _packed(cls, names: Sequence[Name]) -> "Names":
        room = cells.room_for(max((len(name.subject.encode()) for name in names), default=0))
        packed = b"".join(cells.Label(name.reference_id, name.subject).packed(room) for name in names)
        shared = [(name.model, name.enrolled_by, name.gallery) for name in names]
        number = {one: k for k, one in enumerate(dict.fromkeys(shared))}
        return cls(
            np.frombuffer(packed, np.uint64).reshape(len(names), cells.words_of(room)),
            _unsigned([name.version for name in names]),
            _unsigned([number[one] for one in shared]),
            tuple(number),
        )

    @classmethod
    def joined(cls, parts: Sequence["Names"]) -> "Names":
        """One after the other."""
        if not parts:
            return cls._packed([])
        tables = {id(part.common): part.common for part in parts}  # pieces of one list have one in common
        number = {one: k for k, one in enumerate(dict.fromkeys(chain.from_iterable(tables.values())))}
        renumbered = {key: _unsigned([number[one] for one in table]) for key, table in tables.items()}
        return cls(
            _labels_joined([part.labels for part in parts]),
            np.concatenate([part.versions for part in parts]),
            np.concatenate([renumbered[id(part.common)][part.kinds] for part in parts]),
            tuple(number),
        )

    @override
    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, at: int) -> Name: ...
    @overload
    def __getitem__(self, at: slice) -> "Names": ...
    @override
    def __getitem__(self, at: int | slice) -> "Name | Names":
        if isinstance(at, slice):
            return self._picked(at)
        model, who, gallery = self.common[self.kinds[at]]
        reference_id, subject = _label(self.labels[at].tobytes())
        return Name(reference_id, subject, model, int(self.versions[at]), who, gallery)

    def chosen(self, which: npt.NDArray[np.bool_]) -> "Names":
        """Those of which (N,) is set."""
        picked = self._picked(which)
        return Names(_narrowed(picked.labels), picked.versions, picked.kinds, self.common)

    def _picked(self, which: Any) -> "Names":
        return Names(self.labels[which], self.versions[which], self.kinds[which], self.common)

    @property
    def room(self) -> int:
        """Bytes for a subject in a label."""
        return 8 * int(self.labels.shape[1]) - cells.ID_BYTES

    @property
    def subjects(self) -> list[str]:
        """Whose reference each is."""
        return [_label(label.tobytes())[1] for label in self.labels]

    def of_subject(self, subject: str) -> npt.NDArray[np.bool_]:
        """Which are this subject's, (N,)."""
        packed = subject.encode()
        if len(packed) > self.room:
            return np.zeros(len(self), np.bool_)
        wanted = np.frombuffer(packed.ljust(self.room, b"\0"), np.uint64)
        found: npt.NDArray[np.bool_] = np.logical_and.reduce(self.labels[:, _ID_WORDS:] == wanted, axis=1)
        return found

    def people(self) -> npt.NDArray[np.uint64]:
        """A number for each subject in its gallery, (N,): the same for the same one, in this process."""
        galleries = np.array([hash(gallery) for _, _, gallery in self.common] or [0]).astype(np.uint64)
        mixed: npt.NDArray[np.uint64] = galleries[self.kinds]
        for word in self.labels[:, _ID_WORDS:].T:
            further = (mixed ^ word) * _ODD
            further ^= further >> np.uint64(29)
            mixed[word != 0] = further[word != 0]  # what a name is filled up with counts for nothing
        return mixed

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Which comes first, second, ... by id, (N,)."""
        first, second = self.labels[:, :_ID_WORDS].byteswap().T  # as numbers that are ordered as the bytes are
        return np.lexsort((second, first))

    def picked(self, which: npt.NDArray[np.int64]) -> "Names":
        """Those at these places, in this order."""
        return self._picked(which)

    def position(self, reference_id: str, first: int = 0) -> int:
        """Where it is, or belongs, among names in order of their ids: from ``first`` on."""
        return bisect_left(range(len(self)), bytes.fromhex(reference_id), lo=first, key=self._id)

    def find(self, reference_id: str) -> int | None:
        """Where it is, if it is there."""
        at = self.position(reference_id)
        return at if at < len(self) and self._id(at) == bytes.fromhex(reference_id) else None

    def _id(self, at: int) -> bytes:
        return self.labels[at, :_ID_WORDS].tobytes()


def _unsigned(numbers: Sequence[int]) -> npt.NDArray[Any]:
    return np.array(numbers, np.min_scalar_type(max(numbers, default=0)))


def _label(packed: bytes) -> tuple[str, str]:
    return packed[: cells.ID_BYTES].hex(), packed[cells.ID_BYTES :].rstrip(b"\0").decode()


def _labels_joined(labels: Sequence[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """One after the other, each with room for the longest of all: a subject is filled up with zeros."""
    width = max(part.shape[1] for part in labels)
    filled = [part if part.shape[1] == width else np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in labels]
    return _narrowed(np.concatenate(filled))


def _narrowed(labels: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """With room for the longest that is left: parties that read them anew have no more."""
    for words in map(cells.words_of, cells.ROOMS):
        if not labels[:, words:].any():
            return np.ascontiguousarray(labels[:, :words])
    return labels
