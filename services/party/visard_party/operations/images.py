"""The images of a request, and what they are compared with, as this party's shares of them."""

from collections.abc import Sequence

from visard_common.errors import FailedPrecondition, InvalidArgument, NotFound
from visard_engine.describe import describe_plan
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.program import MATCH
from visard_wire.errors import NOBODY_ENROLLED

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Reference
from visard_party.workers.asked import Described, Searched


def images_to_match(asked: Asked, model: Published) -> Elements:
    """The shared images (N, C, H, W) of a request that matches.

    Raises FailedPrecondition for a model that opens its output, InvalidArgument for an operating point that it has not, and
    what ``shared_images`` raises.
    """
    request = asked.request
    require_matching(model)
    points = model.program.operating_points
    if request.operating_point and request.operating_point not in points:
        raise InvalidArgument.of("request.operating_point", " or ".join(sorted(points)))
    return shared_images(asked, model)


def images_behind(asked: Asked, model: Published, second: Published) -> Elements:
    """Those of a second model that matches, which lie behind those of the first in a share; raises as ``images_to_match``."""
    require_matching(second)
    return shared_images(asked, second, asked.request.images * model.image_bytes)


def require_matching(model: Published) -> None:
    """Raise FailedPrecondition for a model that opens its output."""
    if model.program.purpose != MATCH:
        raise FailedPrecondition(
            f"model {model.name!r} is published to open its output: it can be run, not matched with"
        )


def network_plans(asked: Asked, model: Published, images: int) -> tuple[KitPlan, ...]:
    """Of the kits that images take to be described, which come before all others; none where workers do it, with their own."""
    return () if asked.describer else (describe_plan(model.program),) * images


async def descriptors(
    resources: Resources, prepared: Prepared, channel: SessionChannel, kits: Sequence[Kit]
) -> tuple[list[Elements], Sequence[Kit]]:
    """The descriptors (D,) of the request's images, by the kits of ``network_plans``; and the kits that are left.

    Raises EngineError and ServiceFault.
    """
    assert prepared.model is not None
    assert prepared.images is not None
    return await descriptors_by(prepared.model, prepared.images, resources, prepared, channel, kits)


async def descriptors_by(
    model: Published,
    images: Elements,
    resources: Resources,
    prepared: Prepared,
    channel: SessionChannel,
    kits: Sequence[Kit],
) -> tuple[list[Elements], Sequence[Kit]]:
    """The same of any images, by any model."""
    if describer := prepared.asked.describer:
        named = Described(model.name, model.digest, prepared.terms, prepared.asked.session)
        return await resources.workers.describe(channel, describer, named, images), kits
    return await resources.batches.describe(channel, kits[: len(images)], model, images), kits[len(images) :]


def shared_images(asked: Asked, model: Published, start: int = 0) -> Elements:
    """The shared images (N, C, H, W), from this byte of the share on.

    Raises NotFound without a deposit, InvalidArgument for words that are none of F_p.
    """
    shape = (asked.request.images, *model.program.input_shape)
    part = slice(start, start + asked.request.images * model.image_bytes)
    return asked.present.elements(model.model.field, part).reshape(shape)


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


def somebody(rows: Searched) -> Searched:
    """The rows, if there are any; raises FailedPrecondition."""
    if not rows:
        raise FailedPrecondition(NOBODY_ENROLLED)
    return rows


def subject_rows(own: Sequence[Reference], asked: Asked, model: Published) -> Rows:
    """A subject's references as a photo is compared with them: those that live as long as the request; raises NotFound."""
    request = asked.request
    rows = rows_to_match(Rows.of(own, model.model.field).live(request.expires_unix_ms), model)
    if not rows:
        raise NotFound(f"subject {request.subject!r} is not enrolled")
    return rows


def tested(model: Published) -> int:
    """Photos of a comparison that are compared with the model's mean as well: the one that is asked about, or none."""
    return int(model.program.mean_test is not None)
