"""What goes wrong when a photo is taken, done to photos that went well: by measure, from weak to strong."""

from collections.abc import Callable

import cv2
import numpy as np
from visard.capture import Chip, Picture
from visard.capture.faces import Points

Change = Callable[[Picture, Chip], Picture]


def degradations() -> list[tuple[str, Change]]:
    """Lengths are parts of what lies between the eyes: 44 pixels in the median of LFW."""
    return [
        ("as it was", lambda photo, chip: photo),
        *((f"blurred by {p} % of the eyes' distance", blurred(p / 100)) for p in (4, 6, 8, 10)),
        *((f"moved by {p} %", shaken(p / 100)) for p in (10, 20, 30)),
        *((f"reduced to {eyes} pixels between the eyes", reduced(eyes)) for eyes in (24, 20, 16, 13)),
        *((f"{p} % of the light", lit(p / 100)) for p in (40, 25, 150, 200)),
        *((f"{p} % of the contrast", foggy(p / 100)) for p in (30, 15)),
        *((f"{p} % of the light on one side", side_lit(p / 100)) for p in (30, 10)),
        ("dark glasses", dark_glasses),
        ("a patterned mask", masked),
        ("a hand before one eye", handed),
    ]


def blurred(part: float) -> Change:
    """Out of focus."""
    return lambda photo, chip: np.asarray(cv2.GaussianBlur(photo, (0, 0), part * _eyes(chip)), np.uint8)


def shaken(part: float) -> Change:
    """Along a line, aslant."""

    def change(photo: Picture, chip: Chip) -> Picture:
        length = part * _eyes(chip)
        side = 2 * int(np.ceil(length / 2)) + 3
        kernel = np.zeros((side * 8, side * 8), np.float32)
        middle, half = side * 4, length * 4
        ends = [
            (round(middle - half * 0.8), round(middle - half * 0.6)),
            (round(middle + half * 0.8), round(middle + half * 0.6)),
        ]
        cv2.line(kernel, ends[0], ends[1], 1.0, 8)
        kernel = np.asarray(cv2.resize(kernel, (side, side), interpolation=cv2.INTER_AREA), np.float32)
        return np.asarray(cv2.filter2D(photo, -1, kernel / kernel.sum()), np.uint8)

    return change


def reduced(eyes: float) -> Change:
    """Taken from far."""

    def change(photo: Picture, chip: Chip) -> Picture:
        factor = min(1.0, eyes / _eyes(chip))
        return np.asarray(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)

    return change


def lit(part: float) -> Change:
    """Exposed too little or too much: what exceeds white is white."""
    return lambda photo, chip: np.clip(np.rint(photo * part), 0, 255).astype(np.uint8)


def foggy(part: float) -> Change:
    """Towards the photo's mean."""

    def change(photo: Picture, chip: Chip) -> Picture:
        mean = photo.mean()
        return np.asarray(np.rint(mean + (photo - mean) * part), np.uint8)

    return change


def side_lit(part: float) -> Change:
    """A lamp at one side: the other has so much of its light, with a soft edge along the nose."""

    def change(photo: Picture, chip: Chip) -> Picture:
        marks = _marks(chip)
        across = (marks[1] - marks[0]) / _eyes(chip) ** 2
        columns, rows = np.meshgrid(np.arange(photo.shape[1]), np.arange(photo.shape[0]))
        place = (columns - marks[2, 0]) * across[0] + (rows - marks[2, 1]) * across[1]
        light = part + (1 - part) / (1 + np.exp(-place / 0.1))
        return np.asarray(np.rint(photo * light[:, :, None]), np.uint8)

    return change


def dark_glasses(photo: Picture, chip: Chip) -> Picture:
    """Two lenses that reflect a little."""
    return _covered(photo, chip, [(_marks(chip)[k], 0.42, 0.34) for k in (0, 1)], 25, 6)


def masked(photo: Picture, chip: Chip) -> Picture:
    """From the nose to below the mouth."""
    marks = _marks(chip)
    return _covered(photo, chip, [((marks[3] + marks[4] + marks[2]) / 3, 1.0, 0.62)], 150, 30)


def handed(photo: Picture, chip: Chip) -> Picture:
    """In the face's own colour, with some shade."""
    level = float(np.median(chip.pixels[60:90, 40:110]))
    return _covered(photo, chip, [(_marks(chip)[0], 0.6, 0.6)], level, 12)


def _covered(
    photo: Picture, chip: Chip, ellipses: list[tuple[Points, float, float]], level: float, spread: float
) -> Picture:
    """By ellipses (middle, and radii in distances of the eyes) of a grey level that varies by ``spread`` from patch to patch."""
    height, width = photo.shape[:2]
    size = max(3, round(height / _eyes(chip) * 4)), max(3, round(width / _eyes(chip) * 4))
    patches = np.random.default_rng(1).normal(level, spread, size).astype(np.float32)
    cover = np.clip(cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for middle, across, down in ellipses:
        axes = (round(across * _eyes(chip)), round(down * _eyes(chip)))
        cv2.ellipse(mask, (round(middle[0]), round(middle[1])), axes, 0, 0, 360, 255, -1)
    return np.where(mask[:, :, None] > 0, cover[:, :, None], photo)


def _eyes(chip: Chip) -> float:
    assert chip.face is not None
    return chip.face.size


def _marks(chip: Chip) -> Points:
    assert chip.face is not None
    return chip.face.landmarks
