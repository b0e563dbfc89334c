"""Do the three parties hold the same references and rights, and if not, which differ? Pure but for the questions asked."""

from collections.abc import Awaitable, Callable, Sequence

from visard_wire.limits import MAX_PREFIXES

from visard.results import Audit, Difference, Holdings

_DIGITS = "0123456789abcdef"

Views = tuple[Holdings, ...]  # of one prefix, one a party
Ask = Callable[[Sequence[str]], Awaitable[list[list[Holdings]]]]  # prefixes to what each party holds below each


async def find(ask: Ask) -> Audit:
    """Compare hashes of ever smaller parts, sixteen to one, until the differing references are named.

    Ids are hashes, so parts shrink evenly: N references take about log16(N) steps, and never more than log2(N).
    """
    level = await _views(ask, [""])
    counts = tuple(view.count for view in level[0])
    found, steps = list[Difference](), 1
    while differing := [views for views in level if len({view.set_hash for view in views}) > 1]:
        large = [views for views in differing if any(len(view.rows) < view.count for view in views)]
        found += [row for views in differing if views not in large for row in _rows_that_differ(views)]
        if not large:
            break
        level = await _views(ask, [views[0].prefix + digit for views in large for digit in _DIGITS])
        steps += 1
    return Audit(counts, tuple(sorted(found, key=lambda row: row.reference_id)), steps)


async def _views(ask: Ask, prefixes: Sequence[str]) -> list[Views]:
    """For each prefix what the three parties hold below it."""
    found = list[Views]()
    for start in range(0, len(prefixes), MAX_PREFIXES):
        parties = await ask(prefixes[start : start + MAX_PREFIXES])
        found += zip(*parties, strict=True)
    return found


def _rows_that_differ(views: Views) -> list[Difference]:
    tables = [
        {row.reference_id: (row.subject, row.model, row.version, row.enrolled_by, row.gallery) for row in view.rows}
        for view in views
    ]
    ids = sorted(set().union(*tables))
    sides = [(name, tuple(table.get(name) for table in tables)) for name in ids]
    return [Difference(name, side) for name, side in sides if len(set(side)) > 1]
