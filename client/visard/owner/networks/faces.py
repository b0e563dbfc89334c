"""The face networks that can be published without bringing one, by the names under which that is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from visard.errors import InvalidRequest
from visard.owner.networks import face_resnet, sface, sface_mean
from visard.owner.networks.names import FACE, FACE_SMALL


@dataclass(frozen=True)
class FaceNetwork:
    """A network of chips (C, H, W), how these are cut, its operating points, and of those that were measured the rates.

    ``mean``: integers, 2^14 long, of the direction to which no photo may have a cosine above ``mean_limit``; () is none. ``load``
    makes it with its published weights, for inference; raises WeightFileError.
    """

    load: Callable[[], nn.Module]
    input_shape: tuple[int, int, int]
    chip: str
    points: Mapping[str, float]
    rates: Mapping[str, float]
    mean: tuple[int, ...] = ()
    mean_limit: float = 0.0


FACE_NETWORKS: Mapping[str, FaceNetwork] = MappingProxyType(
    {
        FACE: FaceNetwork(
            sface.load,
            sface.INPUT_SHAPE,
            sface.CHIP,
            sface.OPERATING_POINTS,
            sface.FALSE_MATCH_RATES,
            sface_mean.MEAN_INTEGERS,
            sface_mean.MEAN_LIMIT,
        ),
        FACE_SMALL: FaceNetwork(
            face_resnet.load,
            face_resnet.INPUT_SHAPE,
            face_resnet.CHIP,
            face_resnet.OPERATING_POINTS,
            face_resnet.FALSE_MATCH_RATES,
        ),
    }
)


def face_network(name: str = FACE) -> FaceNetwork:
    """One of FACE_NETWORKS; raises InvalidRequest."""
    if name not in FACE_NETWORKS:
        raise InvalidRequest(f"face network {name!r:.80}: one of {', '.join(FACE_NETWORKS)}")
    return FACE_NETWORKS[name]
