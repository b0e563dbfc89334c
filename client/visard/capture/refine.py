"""Landmarks that stay where they are: a face is looked at again, upright and in several sizes, and the looks are averaged.

One look's landmarks move with the size of the picture and the place of a face on the detector's grid: a JPEG of quality 95
or a picture a tenth smaller moved a descriptor by up to 0.8 and 0.3; see docs/capture.md.
"""

from dataclasses import replace

import cv2
import numpy as np

from visard.capture.detector import run
from visard.capture.faces import EYES, TEMPLATE, Face, Picture, Points, angle_of, moved_back, similarity, warp

_SIZE = 160  # pixels of a look
_TURNING = 32.0  # pixels between the eyes of the looks that turn a face upright
_LOOKS = ((24.0, False), (29.4, True), (35.9, False), (44.0, True))  # pixels between the eyes, and whether mirrored
_MOST_TURNS = 5
_UPRIGHT = 5.0  # degrees; a face that was turned by less need not be turned once more
_LARGE = (
    400.0  # pixels of a box; a larger face is reduced to half of this, with what lies as far around it as looks reach
)
_REACH = 2.0
_BOX_HEIGHT = 140.0  # of a face whose landmarks lie at TEMPLATE
CERTAIN = 0.915  # of 50 LFW faces at 13 angles none that was seen wrong reached it, and 95 of 100 upright LFW faces do
_MIRRORED = [1, 0, 2, 4, 3]  # the landmarks' order in a mirrored face


def refine(photo: Picture, face: Face) -> Face:
    """The same face: landmarks are the looks' average, score their mean, ``wander`` their scatter; score 0 where it was lost.

    Found at less than CERTAIN, it is looked at in eight orientations, and the best counts: a detector that sees a face
    upside down invents another one.
    """
    if max(face.box[2:]) > _LARGE:
        return _refined_smaller(photo, face)
    best = _refined(photo, face, face.landmarks)
    if best.score >= CERTAIN:
        return best
    return max([best, *(_refined(photo, face, _placed(face, degrees)) for degrees in range(0, 360, 45))], key=_score)


def _refined_smaller(photo: Picture, face: Face) -> Face:
    """A face of many pixels: its surroundings are reduced once for all looks, which need fewer."""
    x, y, width, height = face.box
    middle, reach = np.array([x + width / 2, y + height / 2]), _REACH * max(width, height)
    limit = np.array(photo.shape[1::-1])
    low, high = (np.clip(middle + sign * reach, 0, limit).astype(int) for sign in (-1, 1))
    factor = _LARGE / 2 / max(width, height)
    small = cv2.resize(
        photo[low[1] : high[1], low[0] : high[0]], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA
    )
    left, top = ((np.array([x, y]) - low) * factor).tolist()
    inner = replace(
        face, box=(left, top, width * factor, height * factor), landmarks=(face.landmarks - low + 0.5) * factor - 0.5
    )
    found = refine(np.asarray(small, np.uint8), inner)
    return replace(found, box=face.box, landmarks=(found.landmarks + 0.5) / factor - 0.5 + low)


def _score(face: Face) -> float:
    return face.score


def _placed(face: Face, degrees: int) -> Points:
    """Where the landmarks of a face would lie that fills the box, turned so."""
    x, y, width, height = face.box
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) * (max(width, height) / _BOX_HEIGHT)
    return np.asarray((TEMPLATE - TEMPLATE.mean(axis=0)) @ turn + [x + width / 2, y + height / 2])


def _refined(photo: Picture, face: Face, start: Points) -> Face:
    landmarks = _upright(photo, start)
    if landmarks is None:
        return replace(face, score=0.0)
    looks = [_look(photo, landmarks, eyes, mirrored) for eyes, mirrored in _LOOKS]
    found = [look for look in looks if look is not None]
    if not found:
        return replace(face, score=0.0)
    points = np.stack([points for points, _ in found])
    average = points.mean(axis=0)
    refined = replace(face, landmarks=average, score=sum(score for _, score in found) / len(looks))
    return replace(refined, wander=float(np.sqrt(((points - average) ** 2).sum(axis=2).mean()) / refined.size))


def _upright(photo: Picture, landmarks: Points) -> Points | None:
    """Turn the face upright by its landmarks and look again, until it stays."""
    for _ in range(_MOST_TURNS):
        look = _look(photo, landmarks, _TURNING, False)
        if look is None:
            return None
        turned = abs(angle_of(similarity(landmarks, look[0])))
        landmarks = look[0]
        if turned < _UPRIGHT:
            break
    return landmarks


def _look(photo: Picture, landmarks: Points, eyes: float, mirrored: bool) -> tuple[Points, float] | None:
    """Landmarks and score of the face in an upright square around it; None where none is found at its middle."""
    matrix = similarity(landmarks, (TEMPLATE - TEMPLATE.mean(axis=0)) * (eyes / EYES) + _SIZE / 2)
    square = warp(photo, matrix, _SIZE)
    faces = run(np.ascontiguousarray(square[:, ::-1]) if mirrored else square)
    places = [_unmirrored(face.landmarks) if mirrored else face.landmarks for face in faces]
    offsets = [float(np.linalg.norm(place.mean(axis=0) - _SIZE / 2)) for place in places]
    if not faces or min(offsets) > eyes:
        return None
    nearest = int(np.argmin(offsets))
    return moved_back(places[nearest], matrix), faces[nearest].score


def _unmirrored(landmarks: Points) -> Points:
    return np.asarray(landmarks[_MIRRORED] * [-1, 1] + [_SIZE - 1, 0])
