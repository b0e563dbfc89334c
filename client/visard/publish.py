"""Publishing a network: compile it here, share its weights, seal the shares. The services never see the weights.

The compiler belongs to the engine, of which the client imports nothing: it is found as an entry point, and a model owner
installs both.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from visard.capture import capture
from visard.client import Client, Photo
from visard.errors import InvalidRequest
from visard.models.dlib_format import WeightFileError

# The patterns of visard.models.calibration stretch the first layers beyond any face, so they need less margin than photos.
PATTERN_MARGIN = 3.0
PHOTO_MARGIN = 4.0
DEFAULT_FIELD_BITS = 31


class Program(Protocol):
    """What the client needs of a compiled program."""

    q: int
    digest: bytes

    def to_json(self) -> bytes:
        """Canonical JSON."""


class Compiled(Protocol):
    """What a compiler returns."""

    program: Program
    weights: npt.NDArray[np.int64]
    multiply_adds: int
    tightest: str


def compiler(name: str = "torch") -> Any:
    """The installed compiler; raises InvalidRequest that says how to get it."""
    for point in entry_points(group="visard.compilers", name=name):
        return point.load()
    raise InvalidRequest("publishing needs the compiler: pip install 'visard[owner,services]'")


def compile_face_model(
    photos: Sequence[Photo] = (), *, q: int = DEFAULT_FIELD_BITS, points: Mapping[str, float] | None = None
) -> Compiled:
    """dlib's face network over F_p, p = 2^q - 1, its ranges checked on photos, or on patterns; its own points if none.

    Raises InvalidRequest where photos leave the ranges, or the weights are not there.
    """
    from visard.models import calibration, face_resnet  # noqa: PLC0415 -- torch is heavy, and an owner's matter

    compile_module = compiler()
    if photos:
        images = np.stack([capture(photo, largest=True).pixels.transpose(2, 0, 1) for photo in photos])
    else:
        images = calibration.patterns(face_resnet.INPUT_SHAPE)
    try:
        made = compile_module(
            face_resnet.load(),
            face_resnet.INPUT_SHAPE,
            q=q,
            calibration=images,
            operating_points=dict(points or face_resnet.OPERATING_POINTS),
            margin=PHOTO_MARGIN if photos else PATTERN_MARGIN,
        )
    except (ValueError, WeightFileError) as error:
        raise InvalidRequest(str(error)) from error
    return cast(Compiled, made)


async def publish(client: Client, name: str, compiled: Compiled) -> None:
    """Upload a compiled model; the client's certificate must be an owner's."""
    program = compiled.program
    await client.publish(name, program.to_json(), program.digest, compiled.weights, program.q)
