"""Pictures that stretch a network's ranges: what a model is calibrated on when its owner brings no photos.

Noise, black, white, stripes, chequers and random blocks of several sizes excite the first layers more than any face does
(dlib's network: 0.9 bits more than 130 LFW faces at the first pooling), the last layers somewhat less.

Networks of ArcFace's kind are another matter: SFace's last layers reach three times as far on a face, and its descriptors are
10 to 16 long where those of patterns are 2 to 5. Faces that are drawn, of nobody, do to it what photos do: 12 to 14 long, and
no layer reaches more than 0.6 bits further on LFW's. So such a network gets some of these, and of the patterns those that matter.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from visard.owner.networks.names import FACE_CHIP
from visard.uploads import as_planes

_PERIODS = (2, 5, 10, 25, 50)
_MATTER = slice(
    10, 23, 4
)  # of the patterns: blocks of 2 to 25 pixels; no other stretches a layer of SFace by 0.1 bits more

_SIDE, _FINE = 112, 8  # pixels of a drawn face, and how much larger it is drawn
_EYES, _NOSE, _MOUTH = (38.3, 73.5), (56.0, 71.7), (56.0, 92.3)  # where ArcFace's template has them; eyes in row 51.6
Colour = tuple[int, int, int]
_PEOPLE: tuple[tuple[Colour, Colour, Colour, float], ...] = (  # skin, hair, background, how much lighter on the right
    ((224, 180, 150), (60, 40, 30), (120, 140, 160), 0.3),
    ((150, 105, 80), (20, 15, 12), (200, 200, 200), -0.3),
    ((240, 200, 175), (200, 170, 110), (60, 60, 70), 0.0),
    ((110, 75, 55), (10, 10, 10), (90, 110, 90), 0.2),
)


def pictures(shape: tuple[int, int, int], chip: str) -> npt.NDArray[np.uint8]:
    """What a network of this input and chip is calibrated on (N, C, H, W), the same each time."""
    found = patterns(shape)
    if chip != FACE_CHIP or shape[0] not in (1, 3):
        return found
    drawn = [as_planes(_drawn(*person, seed), shape) for seed, person in enumerate(_PEOPLE)]
    return np.concatenate([np.stack(drawn), found[_MATTER]])


def patterns(shape: tuple[int, int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    """About 27 images (N, C, H, W), the same each time."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    rows, columns = np.mgrid[0:height, 0:width]
    pictures = [rng.integers(0, 256, shape) for _ in range(4)]
    pictures += [rng.integers(0, 2, shape) * 255, np.zeros(shape, np.int64), np.full(shape, 255)]
    for period in _PERIODS:
        for stripes in (rows // period, columns // period, rows // period + columns // period):
            pictures.append(np.broadcast_to(stripes % 2 * 255, shape))
        blocks = rng.integers(0, 2, (channels, height // period + 1, width // period + 1)) * 255
        pictures.append(blocks.repeat(period, 1).repeat(period, 2)[:, :height, :width])
    return np.stack(pictures).astype(np.uint8)


def _drawn(skin: Colour, hair: Colour, background: Colour, light: float, seed: int) -> npt.NDArray[np.uint8]:
    """A face of nobody, (112, 112, 3), cut as ArcFace's chips are."""
    canvas = np.full((_SIDE * _FINE, _SIDE * _FINE, 3), background, np.float32)

    def ellipse(
        centre: tuple[float, float], axes: tuple[float, float], colour: Sequence[int], factor: float = 1
    ) -> None:
        (x, y), (a, b) = ((int(number * _FINE) for number in pair) for pair in (centre, axes))
        cv2.ellipse(canvas, (x, y), (a, b), 0, 0, 360, tuple(part * factor for part in colour), -1, cv2.LINE_AA)

    ellipse((56, 44), (46, 52), hair)
    ellipse((56, 62), (38, 50), skin)
    for x in _EYES:
        ellipse((x, 43), (9, 2.2), hair)
        ellipse((x, 51.6), (7.5, 4.2), skin, 0.75)
        ellipse((x, 51.6), (6, 3), (235, 235, 235))
        ellipse((x, 51.6), (2.8, 2.9), (50, 35, 25))
        ellipse((x, 51.6), (1.3, 1.3), (5, 5, 5))
    ellipse((_NOSE[0], 66), (4, 10), skin, 1.08)
    ellipse((_NOSE[0], 72.5), (7, 3), skin, 0.8)
    for x in (52, 60):
        ellipse((x, 74), (1.7, 1.2), skin, 0.35)
    ellipse(_MOUTH, (15, 4.2), (170 * skin[0] // 220, 90, 90))
    ellipse(_MOUTH, (13, 0.8), skin, 0.4)
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE]
    shade = 1 + light * (columns - 56) / _SIDE - 0.15 * ((columns - 56) ** 2 + (rows - 62) ** 2) / 56**2
    small = np.asarray(cv2.resize(canvas, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)) * shade[:, :, None]
    noisy = small + np.random.default_rng(seed).normal(0, 4, small.shape)
    return np.asarray(np.clip(cv2.GaussianBlur(noisy, (0, 0), 0.8), 0, 255), np.uint8)
