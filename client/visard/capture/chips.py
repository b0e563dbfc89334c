"""How models want faces cut: a chip has a name, and every client that knows the name cuts the same.

"dlib-150": dlib's own chips (D. King). "arcface-112": J. Deng et al., "ArcFace: additive angular margin loss for deep face
recognition", CVPR 2019: wider, with the eyes lower; what most networks since are trained on, SFace among them.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from visard.capture.faces import CHIP_SIZE, TEMPLATE, Chip, Picture, Points, similarity, warp
from visard.errors import InvalidRequest


@dataclass(frozen=True)
class Cut:
    """A square of ``size`` pixels in which the landmarks lie at ``template`` (5, 2): right eye, left eye, nose, mouth corners.

    ``blue_first``: the channels are blue, green, red.
    """

    size: int
    template: Points
    blue_first: bool = False

    def of(self, photo: Picture, landmarks: Points) -> Picture:
        """The face with these landmarks, (size, size, 3)."""
        pixels = warp(photo, similarity(landmarks, self.template), self.size)
        return np.ascontiguousarray(pixels[:, :, ::-1]) if self.blue_first else pixels


_ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
CHIPS = MappingProxyType({"dlib-150": Cut(CHIP_SIZE, TEMPLATE), "arcface-112": Cut(112, _ARCFACE)})


def check_chip(name: str) -> None:
    """Raise InvalidRequest for a chip that this client does not know."""
    if name and name not in CHIPS:
        raise InvalidRequest(f"chip {name!r:.80} is not known to this client, which cuts {', '.join(sorted(CHIPS))}")


def chip_pixels(chip: Chip, name: str) -> Picture:
    """What a model is given that wants this chip: cut out of the chip's photo. "": the chip as it is.

    A chip without a face is pixels that somebody has cut: of the chip's size they are taken for it. Raises InvalidRequest.
    """
    check_chip(name)
    if not name:
        return chip.pixels
    cut = CHIPS[name]
    if chip.face is not None:
        return cut.of(chip.photo, chip.face.landmarks)
    if chip.pixels.shape[:2] != (cut.size, cut.size):
        height, width = chip.pixels.shape[:2]
        raise InvalidRequest(
            f"the model takes chips {name} of {cut.size} x {cut.size}, and a ready one of {width} x {height} has no face "
            "to cut it from: give the photo"
        )
    return chip.pixels
