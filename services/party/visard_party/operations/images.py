"""The images of a request, and what they are compared with, as this party's shares of them."""

from collections.abc import Sequence

from visard_common.errors import FailedPrecondition, InvalidArgument
from visard_engine.field import Elements
from visard_engine.kits import Kit
from visard_engine.nn.program import MATCH

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


def images_to_match(asked: Asked, model: Published) -> Elements:
    """The shared images (N, C, H, W) of a request that matches.

    Raises FailedPrecondition for a model that opens its output, InvalidArgument for an operating point that it has not, and
    what ``shared_images`` raises.
    """
    request = asked.request
    if model.program.purpose != MATCH:
        raise FailedPrecondition(
            f"model {request.model!r} is published to open its output: it can be run, not matched with"
        )
    points = model.program.operating_points
    if request.operating_point and request.operating_point not in points:
        raise InvalidArgument.of("request.operating_point", " or ".join(sorted(points)))
    return shared_images(asked, model)


async def descriptors(
    resources: Resources, prepared: Prepared, channel: SessionChannel, kits: Sequence[Kit]
) -> list[Elements]:
    """The descriptors (D,) of the request's images, one kit each; raises EngineError and ServiceFault."""
    assert prepared.model is not None
    assert prepared.images is not None
    return await resources.batches.describe(channel, kits, prepared.model, prepared.images)


def shared_images(asked: Asked, model: Published) -> Elements:
    """The shared images (N, C, H, W); raises NotFound without a deposit, InvalidArgument for words that are none of F_p."""
    shape = (asked.request.images, *model.program.input_shape)
    return asked.present.elements(model.model.field).reshape(shape)


def rows_to_match(rows: Rows, model: Published) -> Rows:
    """Rows as they are, of vectors such as the model's images come to; raises FailedPrecondition for others."""
    if rows:
        check_size(rows.shares.shape[1], model)
    return rows


def check_size(size: int, model: Published) -> None:
    """Raise FailedPrecondition unless references of so many elements are such as the model's images come to."""
    if size != model.program.output.size:
        raise FailedPrecondition(
            f"model {model.name!r} has references that another version of visard made: enrol them again"
        )


def tested(model: Published) -> int:
    """Photos of a comparison that are compared with the model's mean as well: the one that is asked about, or none."""
    return int(model.program.mean_test is not None)
