"""What goes into work on many photos, and what comes out of it."""

from dataclasses import dataclass
from pathlib import Path

from visard.errors import VisardError
from visard.results import Identification

MAX_BATCH = 16  # photos of one request


@dataclass(frozen=True)
class BulkItem:
    """A photo to enrol: whose it is, its file, what is kept with it, and after how many seconds it is erased (0: never)."""

    subject: str
    file: Path
    note: str = ""
    ttl_seconds: int = 0


@dataclass(frozen=True)
class Refusal:
    """A photo that was not enrolled, and why: ``kind`` is the name of the error's class, ``why`` what to change."""

    subject: str
    file: Path
    kind: str
    why: str


@dataclass(frozen=True)
class BulkProgress:
    """How far work on many photos is, in photos; ``left`` could not be done for now."""

    total: int
    enrolled: int
    already: int
    refused: int
    left: int

    @property
    def done(self) -> int:
        """Photos with an outcome, whatever it is."""
        return self.enrolled + self.already + self.refused + self.left


@dataclass(frozen=True)
class BulkEnrolment:
    """What became of many photos.

    ``enrolled`` were stored now, ``already`` before: by an earlier run, or as the same photo of the same subject once more.
    ``refused`` have to be changed; ``left`` failed for a reason that may pass, or were not begun: the same call again goes on
    with them. Of a dry run ``enrolled`` are those that would be sent.
    """

    total: int
    enrolled: int
    already: int
    refused: tuple[Refusal, ...]
    left: tuple[Refusal, ...]
    seconds: float


@dataclass(frozen=True)
class SearchedPhoto:
    """A photo that was searched for, and the answer, or else the error that it met."""

    file: Path
    answer: Identification | None
    error: VisardError | None = None


@dataclass(frozen=True)
class SearchedFace:
    """A face of a photo: its box (x, y, width, height) in the photo's pixels, and the answer, or else the error that it met."""

    box: tuple[float, float, float, float]
    answer: Identification | None
    error: VisardError | None = None
