"""From a photo to a chip: find the face, align it by its landmarks to 150 x 150. Nothing leaves before this succeeds.

Models want their faces cut differently (chips): found and judged once, a face is cut for each out of its photo.

photos: what people bring, as RGB; detector: where faces may be; refine: landmarks that stay; checks: which are used;
faces: alignment. Detector: YuNet (W. Wu, H. Peng, S. Yu, 2023). Alignment: the similarity transform that brings YuNet's five
landmarks to where they lie in dlib's own chips. What is accepted, what is refused and what was measured: docs/capture.md.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from visard.capture.checks import MIN_BRIGHTNESS, MIN_EYE_DISTANCE, MIN_SCORE, cut, judged
from visard.capture.chips import CHIPS, Cut, check_chip, chip_pixels
from visard.capture.detector import detect, searches
from visard.capture.faces import CHIP_SIZE, TEMPLATE, Chip, Face, Picture, align
from visard.capture.gates import ENROLMENT, PROBE, Gate, check, probe_gate, wrong
from visard.capture.photos import MAX_PIXELS, SUFFIXES, ArrayLike, Source, as_picture, is_picture, load_photo
from visard.capture.quality import Quality, quality
from visard.capture.refine import refine
from visard.errors import CaptureError, DoubtfulFace, InvalidRequest, NoFace, SeveralFaces

__all__ = [
    "CHIPS", "CHIP_SIZE", "ENROLMENT", "MAX_PIXELS", "MIN_BRIGHTNESS", "MIN_EYE_DISTANCE", "PROBE", "SUFFIXES", "TEMPLATE",
    "ArrayLike", "Chip", "Cut", "Face", "Gate", "Picture", "Quality", "Source", "align", "as_picture", "as_pictures", "capture",
    "capture_all", "check", "check_all", "check_chip", "chip_pixels", "choose", "cut", "detect", "is_picture", "load_photo",
    "probe_gate", "quality", "refine", "wrong",
]  # fmt: skip

S = TypeVar("S")
T = TypeVar("T")

_CLEARLY_SMALLER = 0.25  # a face of less area than this part of the largest is background
_COMPARABLE = 0.5  # a face of more area than this part of one that is cut off or dark may be meant instead


def capture(source: Source | Chip, *, largest: bool = False) -> Chip:
    """A chip of the one face in a photo, or of the largest; raises CaptureError or InvalidRequest, and nothing was sent.

    ``source`` is a file, its bytes, a picture (see as_picture), or a chip that is ready.
    """
    if isinstance(source, Chip):
        return source
    photo = as_picture(source)
    return _named(source, lambda: _face_of(photo, largest))


def _named(source: object, work: Callable[[], T]) -> T:
    """What comes of work on a photo; errors say which file it was."""
    try:
        return work()
    except CaptureError as error:
        if not isinstance(source, (str, Path)):
            raise
        raise type(error)(f"{source}: {error}") from error


def capture_all(sources: Sequence[Source | Chip], *, largest: bool = False) -> list[Chip]:
    """A chip of each photo; of several, the error says which one is at fault."""
    return _each(sources, lambda source: capture(source, largest=largest))


def check_all(sources: Sequence[Source | Chip], chips: Sequence[Chip], gate: Gate) -> None:
    """Whether the chips of these photos are good enough; raises QualityError, and of several says which one is at fault."""
    _each(list(zip(sources, chips, strict=True)), lambda pair: _named(pair[0], lambda: check(pair[1], gate)))


def as_pictures(sources: Sequence[Source]) -> list[Picture]:
    """Each whole photo as a picture; of several, the error says which one is at fault."""
    return _each(sources, as_picture)


def _each(sources: Sequence[S], work: Callable[[S], T]) -> list[T]:
    done: list[T] = []
    for number, source in enumerate(sources, 1):
        try:
            done.append(work(source))
        except (CaptureError, InvalidRequest) as error:
            if len(sources) == 1:
                raise
            raise type(error)(f"photo {number} of {len(sources)}: {error}") from error
    return done


def _face_of(photo: Picture, largest: bool) -> Chip:
    """The face that the first look shows which shows a good one; else what is wrong with the best that was seen."""
    wrong: list[CaptureError] = []
    for faces in searches(photo):
        chips, problems = _usable(photo, faces, largest)
        if chips:
            return _chosen(chips, problems, largest)
        wrong += problems
    certain = [error for error in wrong if not isinstance(error, DoubtfulFace)]
    raise (certain or wrong or [_no_face()])[0]


def _usable(photo: Picture, faces: list[Face], largest: bool) -> tuple[list[Chip], list[CaptureError]]:
    """Chips of the faces that stand in front, largest first; and why others there cannot be used.

    Raises what is wrong with the largest that is surely a face, unless another one is about as large: nobody in the
    background is taken in its place.
    """
    chips: list[Chip] = []
    wrong: list[CaptureError] = []
    blocked: CaptureError | None = None
    front = 0.0
    for face in faces:
        least = _COMPARABLE if blocked and not chips else _CLEARLY_SMALLER
        if face.area <= least * front or (chips and largest):
            break
        refined = refine(photo, face)
        try:
            chips.append(judged(photo, refined))
        except DoubtfulFace as error:
            wrong.append(error)
            continue
        except CaptureError as error:
            wrong.append(error)
            blocked = blocked or (error if refined.score >= MIN_SCORE else None)
        front = front or face.area
    if blocked and not chips:
        raise blocked
    return chips, wrong


def _chosen(chips: list[Chip], problems: list[CaptureError], largest: bool) -> Chip:
    seen = len(chips) + sum(not isinstance(problem, DoubtfulFace) for problem in problems)
    if seen > 1 and not largest:
        raise _several(seen)
    return chips[0]


def choose(faces: list[Face], *, largest: bool) -> Face:
    """The face that is meant; raises NoFace and SeveralFaces. Faces much smaller than the largest are background."""
    if not faces:
        raise _no_face()
    prominent = [face for face in faces if face.area > _CLEARLY_SMALLER * faces[0].area]
    if len(prominent) > 1 and not largest:
        raise _several(len(prominent))
    return faces[0]


def _no_face() -> NoFace:
    return NoFace("no face found: use a photo that shows one face from the front, in good light")


def _several(count: int) -> SeveralFaces:
    return SeveralFaces(f"{count} faces found: crop the photo, or choose the largest face (largest=True)")
