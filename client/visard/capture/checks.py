"""Which faces are used: sure to be a person's, large, bright and whole enough. What the limits cost: docs/capture.md."""

import cv2
import numpy as np

from visard.capture.faces import Chip, Face, Picture, align, misfit, outside
from visard.capture.refine import refine
from visard.errors import CaptureError, DoubtfulFace, FaceTooSmall, PartialFace, TooDark

MIN_EYE_DISTANCE = 12.0  # pixels; below this a chip is more interpolation than photo
MIN_BRIGHTNESS = 25.0  # mean of a chip's pixels; below this noise decides the descriptor
# refuse none of 1,549 LFW photos, which show other faces where one is refused, none of ORL's, and 374 of 375 animals
MIN_SCORE, MAX_MISFIT, MAX_WANDER = 0.87, 0.28, 0.25
MAX_OUTSIDE = 0.15  # of the face's inner square; a face cut at an eye's outer corner lies outside by a tenth
MAX_BLANK = 0.18  # of the inner square without any texture; LFW's and ORL's largest: 0.12
_TEXTURE = 2  # grey levels between neighbours, as in a bar that JPEG has blurred a little
_BELIEVED = 0.7  # at less nothing is said about the face's size or light: it may be none


def cut(photo: Picture, face: Face) -> Chip:
    """The chip of a detected face; raises DoubtfulFace, FaceTooSmall, PartialFace and TooDark."""
    return judged(photo, refine(photo, face))


def judged(photo: Picture, face: Face) -> Chip:
    """The chip of a refined face; raises likewise."""
    if face.score < _BELIEVED:
        raise _doubt(face)
    if face.eyes < MIN_EYE_DISTANCE:
        raise FaceTooSmall(
            f"the face is too small: {face.eyes:.1f} pixels between the eyes, {MIN_EYE_DISTANCE:.0f} needed"
        )
    chip = align(photo, face.landmarks)
    if chip.mean() < MIN_BRIGHTNESS:
        raise TooDark(f"the face is too dark: mean brightness {chip.mean():.0f} of 255, {MIN_BRIGHTNESS:.0f} needed")
    if problem := _hidden(photo, face, chip) or _unlike(face):
        raise problem
    return Chip(chip, photo, face)


def _hidden(photo: Picture, face: Face, chip: Picture) -> CaptureError | None:
    if (part := outside(photo, face.landmarks)) > MAX_OUTSIDE:
        return PartialFace(f"{100 * part:.0f} % of the face lie outside the photo: use one that shows all of it")
    if (part := blank(chip)) > MAX_BLANK:
        return PartialFace(
            f"{100 * part:.0f} % of the face are covered by one colour: use a photo that shows all of it"
        )
    return None


def _unlike(face: Face) -> CaptureError | None:
    sure = face.score >= MIN_SCORE and misfit(face.landmarks) <= MAX_MISFIT and face.wander <= MAX_WANDER
    return None if sure else _doubt(face)


def _doubt(face: Face) -> DoubtfulFace:
    return DoubtfulFace(
        f"what was found may be no person's face (score {face.score:.2f}, {MIN_SCORE:.2f} needed): "
        "use a photo of one face from the front, in good light"
    )


def blank(chip: Picture) -> float:
    """The part of the chip's inner square around which 7 x 7 pixels are all alike."""
    inner, window = chip[25:125, 25:125], np.ones((7, 7), np.uint8)
    spread = cv2.subtract(cv2.dilate(inner, window), cv2.erode(inner, window)).max(axis=2)
    return float((spread <= _TEXTURE).mean())
