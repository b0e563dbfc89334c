"""Publishing a network: compile it here, share its weights, seal the shares. The services never see the weights.

The compiler belongs to the engine, of which the client imports nothing: it is found as an entry point, and a model owner
installs both.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from visard.capture import capture, chip_pixels
from visard.client import Client, Photo
from visard.errors import InvalidRequest
from visard.owner.networks import calibration
from visard.owner.networks.dlib_format import WeightFileError
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE
from visard.points import LOOSEST, Points, check
from visard.sharing import DEFAULT_FIELD_BITS

__all__ = ["LOOSEST", "Compiled", "Program", "check_points", "compile_face_model", "compiler", "publish"]

# The patterns of networks.calibration stretch the first layers beyond any face, so they need less margin than photos.
PATTERN_MARGIN = 3.0
PHOTO_MARGIN = 4.0


class Program(Protocol):
    """What the client needs of a compiled program."""

    @property
    def q(self) -> int:
        """Bits of the field."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON."""

    @property
    def operating_points(self) -> dict[str, float]:
        """Thresholds by their names."""

    @property
    def false_match_rates(self) -> dict[str, float]:
        """What is known of how many strangers pass, by operating point."""

    def to_json(self) -> bytes:
        """Canonical JSON."""


class Compiled(Protocol):
    """What a compiler returns: the program, its secret weights as integers, what a run costs, and which range is tightest."""

    program: Program
    weights: npt.NDArray[np.int64]
    multiply_adds: int
    tightest: str


def compiler(name: str = "torch") -> Any:
    """The installed compiler; raises InvalidRequest that says how to get it."""
    for point in entry_points(group="visard.compilers", name=name):
        return point.load()
    raise InvalidRequest("publishing needs the compiler: pip install 'visard[owner]'")


def compile_face_model(
    photos: Sequence[Photo] = (),
    *,
    network: str = FACE,
    q: int = DEFAULT_FIELD_BITS,
    points: Mapping[str, float] | None = None,
    rates: Mapping[str, float] | None = None,
) -> Compiled:
    """A face network over F_p, p = 2^q - 1, its ranges checked on photos, or on patterns.

    ``network``: "face", SFace, or "face-small", dlib's. Without ``points`` it has its own, and their false match rates.
    Raises InvalidRequest where photos leave the ranges, or the weights are not there.
    """
    compile_module, face = compiler(), face_network(network)
    if photos:
        chips = [chip_pixels(capture(photo, largest=True), face.chip) for photo in photos]
        images = np.stack([chip.transpose(2, 0, 1) for chip in chips])
    else:
        images = calibration.pictures(face.input_shape, face.chip)
    try:
        made = compile_module(
            face.load(),
            face.input_shape,
            q=q,
            calibration=images,
            operating_points=dict(points or face.points),
            margin=PHOTO_MARGIN if photos else PATTERN_MARGIN,
            false_match_rates=dict(rates or {}) if points else face.rates,
            mean=face.mean,
            mean_limit=face.mean_limit,
            chip=face.chip,
        )
    except (OSError, ValueError, WeightFileError) as error:
        raise InvalidRequest(str(error)) from error
    return cast(Compiled, made)


def check_points(program: Program) -> None:
    """Raise InvalidRequest for an operating point that is looser than LOOSEST, or of which nobody knows how loose it is."""
    check(Points(program.operating_points, program.false_match_rates))


async def publish(client: Client, name: str, compiled: Compiled, *, allow_loose: bool = False) -> None:
    """Upload a compiled model; the client's certificate must be an owner's.

    Operating points that are looser than LOOSEST or not calibrated need ``allow_loose``; raises InvalidRequest.
    """
    program = compiled.program
    if not allow_loose:
        check_points(program)
    await client.models.publish(name, program.to_json(), program.digest, compiled.weights, program.q)
