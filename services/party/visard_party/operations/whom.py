"""Which references a request looks through: this party's own rows, or its workers'."""

from visard_common.errors import Unavailable
from visard_common.limits import RETRY_SECONDS

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations.images import check_size, rows_to_match
from visard_party.operations.resources import Resources
from visard_party.store.contents import Place
from visard_party.workers.asked import Searched, Wanted


async def searched(resources: Resources, asked: Asked, model: Published, without: str = "") -> Searched:
    """The references of the request's place, but for those of one subject, whose time is not over when it ends.

    They are the workers' where party 0 says so. Raises Unavailable where a worker is away, or this party has too few.
    """
    request = asked.request
    if not asked.workers:
        return await own_rows(resources, asked, model, without)
    own = len(resources.workers)
    # fewer while they come to be more; were they a few of many, each would have to hold more than it has room for
    if not asked.workers <= own <= 2 * asked.workers:
        raise Unavailable(
            f"party {resources.party} has {own} workers, and party 0 asks for {asked.workers}",
            retry_after=RETRY_SECONDS,
        )
    wanted = Wanted(Place.of(request), model.program.q, request.expires_unix_ms, without)
    held = await resources.workers.hold(asked.session, wanted, asked.workers)
    for size in held.sizes:
        check_size(size, model)
    return held


async def own_rows(resources: Resources, asked: Asked, model: Published, without: str = "") -> Rows:
    """The same, held by this party itself."""
    request = asked.request
    everybody = (await resources.galleries.get(Place.of(request), model.model.field)).live(request.expires_unix_ms)
    return rows_to_match(everybody.without(without) if without else everybody, model)


async def others(resources: Resources, asked: Asked, model: Published) -> Searched:
    """The references of everybody else, which each photo is compared with; none where the request does not ask for it.

    Of a review they may be the workers'; what is refused at once opens one bit of all of them, which this party holds itself.
    """
    request = asked.request
    if request.review:
        return await searched(resources, asked, model, request.subject)
    return await own_rows(resources, asked, model, request.subject) if request.unique else Rows()
