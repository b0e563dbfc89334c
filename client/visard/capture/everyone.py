"""All faces of a photo, for questions about each of them."""

from typing import Any

from visard.capture.checks import judged
from visard.capture.detector import searches, upright
from visard.capture.faces import Chip, Face, Picture
from visard.capture.photos import as_picture
from visard.capture.refine import refine
from visard.errors import CaptureError, DoubtfulFace, NoFace

Box = tuple[float, float, float, float]


def faces_in(source: Any) -> list[tuple[Box, Chip | CaptureError]]:
    """Every face of a photo by its box (x, y, width, height), from left to right: its chip, or why there is none.

    ``source`` as for capture. Raises NoFace, NotAnImage and InvalidRequest. What may be no person's face is left out.
    """
    photo = as_picture(source)
    found: list[tuple[Box, Chip | CaptureError]] = []
    for face in _distinct(_seen(photo)):
        refined = refine(photo, face)
        try:
            found.append((face.box, judged(photo, refined)))
        except DoubtfulFace:
            continue
        except CaptureError as error:
            found.append((face.box, error))
    if not found:
        raise NoFace("no face found: use a photo that shows faces from the front, in good light")
    return sorted(found, key=lambda one: one[0][0])


def _seen(photo: Picture) -> list[Face]:
    """Upright faces of all looks: coarse ones show the large faces of a group, fine ones the small. Else what is turned."""
    found = [face for faces in upright(photo) for face in faces]
    return found or next((faces for faces in searches(photo) if faces), [])


def _distinct(faces: list[Face]) -> list[Face]:
    """Each face once: of two of which the smaller has its middle in the other, the surer, be it a part of the other or itself."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_within(face, other) or _within(other, face) for other in kept):
            kept.append(face)
    return kept


def _within(face: Face, other: Face) -> bool:
    (x, y, width, height), (left, top, across, down) = face.box, other.box
    middle = x + width / 2 - left, y + height / 2 - top
    return face.area <= other.area and 0 <= middle[0] <= across and 0 <= middle[1] <= down
