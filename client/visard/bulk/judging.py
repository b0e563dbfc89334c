"""Photos on their way to be enrolled: read, judged, and brought to the model's input, one at a time: a photo is large."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from visard.bulk.outcomes import BulkEnrolment, BulkItem, BulkProgress, Refusal
from visard.bulk.sources import check_subject
from visard.capture import ENROLMENT, Chip, capture, check
from visard.errors import NotAnImage, VisardError
from visard.results import ModelInfo
from visard.uploads import pixels

Told = Callable[[BulkProgress], object]

_AT_ONCE = 4  # photos that are judged at a time


@dataclass(frozen=True)
class Judged:
    """A photo that is good enough, by the SHA-256 of its file, and its face as the model's input (C, H, W)."""

    item: BulkItem
    photo: str
    pixels: npt.NDArray[np.int64]


class Tally:
    """Counts outcomes, and tells of each."""

    def __init__(self, total: int, told: Told | None) -> None:
        self.progress = BulkProgress(total, 0, 0, 0, 0)
        self.refused: list[Refusal] = []
        self.left: list[Refusal] = []
        self._told = told
        self._began = time.monotonic()

    def enrolled(self, count: int = 1) -> None:
        """So many photos were stored."""
        self._tell(enrolled=self.progress.enrolled + count)

    def already(self, count: int = 1) -> None:
        """So many photos were stored before."""
        self._tell(already=self.progress.already + count)

    def refuse(self, item: BulkItem, error: VisardError) -> None:
        """A photo has to be changed."""
        self.refused.append(refusal(item, error))
        self._tell(refused=self.progress.refused + 1)

    def leave(self, item: BulkItem, error: VisardError) -> None:
        """A photo could not be enrolled for now."""
        self.left.append(refusal(item, error))
        self._tell(left=self.progress.left + 1)

    def _tell(self, **counts: int) -> None:
        self.progress = replace(self.progress, **counts)
        if self._told is not None:
            self._told(self.progress)

    def result(self) -> BulkEnrolment:
        """All together, in order of file."""
        counts, refused, left = self.progress, _ordered(self.refused), _ordered(self.left)
        seconds = time.monotonic() - self._began
        return BulkEnrolment(counts.total, counts.enrolled, counts.already, refused, left, seconds)


def _ordered(found: list[Refusal]) -> tuple[Refusal, ...]:
    return tuple(sorted(found, key=lambda one: (one.subject, str(one.file))))


def refusal(item: BulkItem, error: VisardError) -> Refusal:
    """An error as what is told of a photo."""
    return Refusal(item.subject, item.file, type(error).__name__, str(error))


def digest(item: BulkItem) -> str:
    """SHA-256 of a photo's file, in hex; raises NotAnImage."""
    return hashlib.sha256(_bytes(item)).hexdigest()


def _bytes(item: BulkItem) -> bytes:
    try:
        return item.file.read_bytes()
    except (OSError, ValueError) as error:
        raise NotAnImage(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def face_of(item: BulkItem, *, largest: bool, force: bool) -> tuple[str, Chip]:
    """A photo's digest, and its face if it is good enough to be enrolled; raises InvalidRequest and CaptureError."""
    check_subject(item.subject)
    data = _bytes(item)
    chip = capture(data, largest=largest)
    if not force:
        check(chip, ENROLMENT)
    return hashlib.sha256(data).hexdigest(), chip


def prepared(item: BulkItem, info: ModelInfo, *, largest: bool, force: bool) -> Judged | VisardError:
    """A photo that may be sent, or what is wrong with it; raises InvalidRequest for a model that wants no faces."""
    try:
        photo, chip = face_of(item, largest=largest, force=force)
    except VisardError as error:
        return error
    return Judged(item, photo, pixels(chip, info))


async def judge(
    items: Sequence[BulkItem], *, largest: bool = False, force: bool = False, told: Told | None = None
) -> BulkEnrolment:
    """Which photos would be enrolled, by what can be said here: nothing is sent, and no service is needed.

    Arguments as those of Bulk.enrol.
    """
    tally, waiting = Tally(len(items), told), iter(items)
    seen = set[tuple[str, str]]()

    async def work() -> None:
        for item in waiting:
            try:
                photo, _ = await asyncio.to_thread(face_of, item, largest=largest, force=force)
            except VisardError as error:
                tally.refuse(item, error)
                continue
            known = (item.subject, photo) in seen
            seen.add((item.subject, photo))
            (tally.already if known else tally.enrolled)()

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return tally.result()
