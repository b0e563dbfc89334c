"""A face as it was found, and how it is cut out: the similarity transform that brings its landmarks to where dlib has them."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]  # (H, W, 3), RGB
Points = npt.NDArray[np.float64]  # (N, 2), x and y in pixels
Matrix = npt.NDArray[np.float64]  # (2, 3): rotation, scale and shift

CHIP_SIZE = 150

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
EYES = float(np.linalg.norm(TEMPLATE[0] - TEMPLATE[1]))


@dataclass(frozen=True)
class Face:
    """A face in the photo's pixels: box (x, y, width, height), landmarks (5, 2), score of 0 to 1.

    ``wander``: how far the landmarks moved between the looks that were taken at it, as a part of the distance of its eyes.
    """

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float
    wander: float = 0.0

    @property
    def area(self) -> float:
        """Of the box."""
        return self.box[2] * self.box[3]

    @property
    def eyes(self) -> float:
        """Pixels between the eyes."""
        return float(np.linalg.norm(self.landmarks[0] - self.landmarks[1]))

    @property
    def size(self) -> float:
        """Pixels between the eyes of the face as if seen from the front: by all its landmarks."""
        return EYES / scale_of(similarity(self.landmarks, TEMPLATE))


@dataclass(frozen=True)
class Chip:
    """An aligned face as dlib's network takes it, (150, 150, 3), RGB; its photo and place, to cut it as other models want it."""

    pixels: Picture
    photo: Picture
    face: Face | None = None


def align(photo: Picture, landmarks: Points) -> Picture:
    """The chip whose landmarks lie at TEMPLATE."""
    return warp(photo, similarity(landmarks, TEMPLATE), CHIP_SIZE)


def warp(photo: Picture, matrix: Matrix, size: int) -> Picture:
    """A square of ``size`` pixels out of the photo; beyond its edge the last row and column are repeated."""
    part, corner = _part(photo, matrix, size)
    matrix = np.hstack([matrix[:, :2], matrix[:, 2:] + matrix[:, :2] @ corner[:, None]])
    shrink = scale_of(matrix)
    if shrink < 0.5:  # reduce first: a warp alone would skip pixels
        width, height = (max(1, round(side * 2 * shrink)) for side in part.shape[1::-1])
        ratio = np.array([width / part.shape[1], height / part.shape[0]])
        part = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        turn = matrix[:, :2] / ratio  # a pixel's centre lies at a half: x' + 1/2 = (x + 1/2) ratio
        matrix = np.hstack([turn, matrix[:, 2:] + turn @ ((1 - ratio) / 2)[:, None]])
    out = cv2.warpAffine(part, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def _part(photo: Picture, matrix: Matrix, size: int) -> tuple[Picture, Points]:
    """What a warp needs of the photo, and its corner: a face in a large photo need not reduce all of it."""
    corners = moved_back(np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64), matrix)
    margin = 2 + 2 / scale_of(matrix)
    limit = np.array(photo.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0) - margin), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + margin), low + 1, limit).astype(int)
    return photo[low[1] : high[1], low[0] : high[0]], low.astype(np.float64)


def outside(photo: Picture, landmarks: Points) -> float:
    """The part of the face's inner square, from the brows to below the mouth, that lies beyond the photo's edge."""
    rows, columns = np.mgrid[25:125:5, 25:125:5]
    points = moved_back(
        np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float), similarity(landmarks, TEMPLATE)
    )
    inside = (points >= 0) & (points <= np.array(photo.shape[1::-1]) - 1)
    return float(1 - inside.all(axis=1).mean())


def misfit(landmarks: Points) -> float:
    """How far aligned landmarks lie from a face's: root of the mean square, as a part of the distance of the eyes."""
    off = moved(landmarks, similarity(landmarks, TEMPLATE)) - TEMPLATE
    return float(np.sqrt((off**2).sum(axis=1).mean()) / EYES)


def similarity(source: Points, target: Points) -> Matrix:
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


def scale_of(matrix: Matrix) -> float:
    """How much larger things become."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def angle_of(matrix: Matrix) -> float:
    """By how many degrees things are turned."""
    return float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))


def moved(points: Points, matrix: Matrix) -> Points:
    """Where a transform brings points."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def moved_back(points: Points, matrix: Matrix) -> Points:
    """Where points come from."""
    return np.asarray(np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T)
