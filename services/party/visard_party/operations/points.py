"""Which operating point decides a search: its threshold follows the gallery. Pure.

A stranger's photo matches somebody in a gallery of N references with a chance of at most N times the point's false match rate
(the union bound; of one person's references each is another chance). So a search for which its caller names no point takes the
loosest one with which that is at most RISK, and a gallery that is too large for all of them is refused unless the caller says to
go on. All three parties come to the same: request, program and rows decide it, and are what they compare before a run.
"""

from visard_common.errors import FailedPrecondition
from visard_engine.nn.program import Program
from visard_engine.protocols.blocks import MOST_LIMITS
from visard_wire.v1 import common_pb2

from visard_party.intake.requests import DEFAULT_POINT

RISK = 0.01  # of a stranger's being found in a gallery, as in visard_party.budgets.budget; 2026-11-27
_EXACT = 1 + 1e-9  # 1e-5 times 1000 is not to be more for how floats are rounded


def carrying(program: Program, rows: int) -> str | None:
    """The loosest point that carries a gallery of so many references, if one of those whose rate is known does."""
    return max(
        (name for name, rate in program.false_match_rates.items() if rate * rows <= RISK * _EXACT),
        key=lambda name: _looseness(program, name),
        default=None,
    )


def strictest(program: Program) -> str | None:
    """The point with the smallest rate that is known; None where nobody has measured one."""
    return min(program.false_match_rates, key=lambda name: _looseness(program, name), default=None)


def _looseness(program: Program, name: str) -> tuple[float, bool, str]:
    """By distance; of several names of one distance that which says most."""
    return program.operating_points[name], name != DEFAULT_POINT, name


def stricter(program: Program, name: str, most: int = MOST_LIMITS - 1) -> list[str]:
    """The points at which a search among several decides: this one, then at most so many that are stricter, loosest first.

    Of points of one distance one is enough.
    """
    found = [name]
    for other in sorted(program.operating_points, key=lambda one: _looseness(program, one), reverse=True):
        if len(found) <= most and program.operating_points[other] < program.operating_points[found[-1]]:
            found.append(other)
    return found


def of_search(request: common_pb2.Request, program: Program, rows: int) -> str:
    """The name of the point at which this search among so many references decides.

    That which the request names, else the loosest one that carries the gallery. Where none does it is the strictest with
    ``allow_large_gallery``; without, raises FailedPrecondition.
    """
    if request.operating_point:
        return request.operating_point
    if (name := carrying(program, rows)) is not None:
        return name
    if request.allow_large_gallery:
        return strictest(program) or DEFAULT_POINT
    field, allowed = (
        "request.allow_large_gallery",
        "true, an operating point by its name, or a gallery that a point carries",
    )
    raise FailedPrecondition(
        f"{field}: {_too_large(request.model, program, rows)}: name a point, or allow it (allow_large_gallery=True)",
        field=field,
        allowed=allowed,
    )


def _too_large(model: str, program: Program, rows: int) -> str:
    name = strictest(program)
    if name is None:
        return f"nobody has measured how many strangers a point of {model} lets through"
    most = int(RISK * _EXACT / program.false_match_rates[name])
    return f"{rows} references are searched, and {name}, the strictest point of {model}, carries {most}"
