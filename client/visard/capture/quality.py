"""What a photo of a face is like, in numbers: pose, size, blur, light, and how clearly it is seen. What is asked of them: gates.

Pose is where five points of a rigid head (SHAPE) have to stand to be seen at the landmarks, by scaled orthographic projection
(D. DeMenthon, L. Davis, "Model-based object pose in 25 lines of code", 1995, without its iteration). All else is measured on the
chip of 150 x 150, whatever the model wants: on the square from the brows to below the mouth.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from visard.capture.checks import blank
from visard.capture.faces import TEMPLATE, Chip, Face, Picture, Points, align, angle_of, moved, outside, similarity
from visard.errors import InvalidRequest

Grey = npt.NDArray[np.float32]  # (100, 100), the square's levels, 0 to 255

# YuNet's landmarks in space (right, down, away from the camera), a unit being what lies between the eyes: the rigid shape of
# rank 3 that explains those of LFW best (C. Tomasi, T. Kanade, "Shape and motion from image streams", 1992);
# ``python -m bench.quality --shape``
SHAPE: Points = np.array(
    [[-0.5, -0.509, 0.044], [0.5, -0.509, 0.044], [0, 0.045, -0.402], [-0.429, 0.486, 0.157], [0.429, 0.486, 0.157]]
)
_INNER = slice(25, 125)
_WHITE = 250  # a level at which a camera has no more to tell
_RADIUS = 1.5  # pixels of a chip: of the blur whose loss tells how sharp it was


@dataclass(frozen=True)
class Quality:
    """How well a photo shows a face.

    Degrees: ``yaw``, to the right of the picture where it is positive; ``pitch``, down where it is positive; 0 is the
    mean of people who look at a camera, from whom one differs by 10 degrees although he looks at it as well; ``roll``, with the
    clock (no fault: faces are turned upright). ``eyes``: pixels between the eyes, as if seen from the front.

    Of the face's square, in grey levels of 0 to 255: ``brightness``, their mean, and ``contrast``, their standard deviation;
    parts of 0 to 1: ``clipped``, what is white; ``hidden``, what is of one colour or beyond the photo's edge;
    ``sharpness``, of the levels' variation what a blur by 1.5 pixels takes away. ``uneven``: how much brighter the right
    half of the picture is than the left, as a part of both, -1 to 1.

    ``score``, 0 to 1: how sure the detector is. ``wander``: how far landmarks move from look to look, in distances of the eyes.
    """

    yaw: float
    pitch: float
    roll: float
    eyes: float
    sharpness: float
    brightness: float
    contrast: float
    clipped: float
    uneven: float
    hidden: float
    score: float
    wander: float


def quality(chip: Chip) -> Quality:
    """Of a chip that was cut out of a photo; raises InvalidRequest for one without a face, of which nothing is known."""
    if chip.face is None:
        raise InvalidRequest("chip: one that visard.capture has cut, with the place of its face")
    pixels = align(chip.photo, chip.face.landmarks)
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)[_INNER, _INNER]
    yaw, pitch, roll = pose(chip.face.landmarks)
    return Quality(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        eyes=chip.face.size,
        sharpness=_sharpness(grey),
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        clipped=float((grey >= _WHITE).mean()),
        uneven=_uneven(grey),
        hidden=_hidden(chip.photo, chip.face, pixels),
        score=chip.face.score,
        wander=chip.face.wander,
    )


def pose(landmarks: Points, shape: Points = SHAPE) -> tuple[float, float, float]:
    """Yaw, pitch and roll, in degrees, of a head of this shape that is seen at landmarks (5, 2)."""
    upright = similarity(landmarks, TEMPLATE)  # longer faces than SHAPE must not look turned where they are aslant
    seen = moved(landmarks, upright)
    fitted, *_ = np.linalg.lstsq(shape - shape.mean(axis=0), seen - seen.mean(axis=0), rcond=None)
    right, down = (fitted / np.linalg.norm(fitted, axis=0)).T  # the picture's axes, as they lie in the head
    away = np.cross(right, down)
    yaw, pitch = _degrees(away[0], away[2]), _degrees(away[1], float(np.hypot(away[0], away[2])))
    return yaw, pitch, _degrees(-right[1], down[1]) - angle_of(upright)


def _degrees(opposite: float, adjacent: float) -> float:
    return float(np.degrees(np.arctan2(opposite, adjacent)))


def _sharpness(grey: Grey) -> float:
    """0 where nothing varies; what lies around the square does not count."""
    lost, whole = float((grey - cv2.GaussianBlur(grey, (0, 0), _RADIUS)).std()), float(grey.std())
    return lost / whole if whole else 0.0


def _uneven(grey: Grey) -> float:
    left, right = (float(half.mean()) for half in np.hsplit(grey, 2))
    return (right - left) / max(left + right, 1.0)


def _hidden(photo: Picture, face: Face, pixels: Picture) -> float:
    return max(outside(photo, face.landmarks), blank(pixels))
