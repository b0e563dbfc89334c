"""From pictures to what is shared: whether they are good enough, the model's input as integers, and its shares."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from visard_wire.v1 import common_pb2

from visard.capture import (
    ENROLMENT,
    Chip,
    Gate,
    Picture,
    Source,
    as_picture,
    capture_all,
    check_all,
    check_chip,
    chip_pixels,
    probe_gate,
)  # fmt: skip
from visard.errors import InvalidRequest
from visard.results import ModelInfo
from visard.sharing import share

PICTURE_CHANNELS = (1, 3)
Operation = common_pb2.Operation


def shared(values: Sequence[npt.NDArray[np.int64]], q: int) -> list[bytes]:
    """Fresh shares of the values, one a party, as they lie on the wire."""
    return [part.tobytes() for part in share(np.concatenate([v.reshape(-1) for v in values]), q)]


def gate_for(operation: int, operating_point: str, info: ModelInfo) -> Gate | None:
    """What photos have to pass (visard.capture.gates): None for a comparison, which takes them as they are.

    A probe's gate goes by how often its point lets strangers in; a search that names none is judged as at the default.
    Raises InvalidRequest.
    """
    if not isinstance(operating_point, str):
        raise InvalidRequest("operating_point: the name of one")
    if operation in (Operation.OPERATION_ENROL, Operation.OPERATION_MIGRATE):  # which stores a reference as well
        return ENROLMENT
    if operation not in (Operation.OPERATION_VERIFY, Operation.OPERATION_IDENTIFY):
        return None
    named = operating_point or "default"
    return probe_gate(next((point.false_match_rate for point in info.points if point.name == named), None))


def good_enough(photos: Sequence[Source | Chip], chips: Sequence[Chip], gate: Gate | None) -> None:
    """Raises QualityError, which names the photo; chips that were brought ready are not judged."""
    if gate is not None:
        check_all(photos, chips, gate)


def forced(force: object) -> bool:
    """Whether photos of poor quality are taken; raises InvalidRequest for what only looks like an answer."""
    if not isinstance(force, bool):
        raise InvalidRequest("force: True or False")
    return force


def pixels(chip: Chip, info: ModelInfo) -> npt.NDArray[np.int64]:
    """A face as the model's input, (C, H, W): cut as the model wants it, its size, grey or in colour; raises InvalidRequest."""
    return planes([chip_pixels(chip, info.chip)], info)


def whole(pictures: Sequence[Picture], info: ModelInfo, *, largest: bool) -> npt.NDArray[np.int64]:
    """Pictures as the input of a model that is run, (C, H, W): where it wants a chip the face of each, else all of each.

    Raises CaptureError and InvalidRequest.
    """
    if not info.chip:
        return planes(pictures, info)
    check_chip(info.chip)
    return planes([chip_pixels(chip, info.chip) for chip in capture_all(pictures, largest=largest)], info)


def planes(pictures: Sequence[Picture], info: ModelInfo) -> npt.NDArray[np.int64]:
    """Whole pictures as the model's input, (C, H, W), one behind the other; raises InvalidRequest."""
    channels, height, width = info.input_shape
    each, rest = divmod(channels, len(pictures))
    if rest or each not in PICTURE_CHANNELS:
        raise InvalidRequest(
            f"model {info.name} takes {pictures_in(channels)} pictures at once, in {channels} channels, not {len(pictures)}"
        )
    return np.concatenate([as_planes(picture, (each, height, width)) for picture in pictures]).astype(np.int64)


def pictures_in(channels: int) -> int:
    """How many pictures stand behind each other in an input of so many channels: 2 grey ones or 2 in colour, else 1."""
    return 2 if channels in (2, 6) else 1


def as_planes(picture: Picture, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """A picture, as capture.as_picture takes them, in a shape (C, H, W) of 1 or 3 channels; raises InvalidRequest."""
    channels, height, width = shape
    if channels not in PICTURE_CHANNELS:
        raise InvalidRequest(f"pictures have 1 or 3 channels, and the model takes {channels}")
    picture = as_picture(picture)
    if picture.shape[:2] != (height, width):
        smaller = picture.shape[0] > height or picture.shape[1] > width
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)
    if channels == 1:
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)[None]
    return np.ascontiguousarray(picture.transpose(2, 0, 1))
