"""How a run rounds that uses a kit, from the kit: what makes the twin bit-exact."""

from collections.abc import Callable
from typing import cast

import numpy as np

from visard_engine.correlated import Dealing
from visard_engine.field import Bools, Elements, Integers
from visard_engine.kits import KitPlan, deal_kit
from visard_engine.nn.twin import Rounding
from visard_engine.protocols.verification import REPETITIONS

# draws of random elements that a section takes, where it is not one
_DRAWS = {"and": 0, "choose": 0, "inner": 2 * REPETITIONS}


def dealt_rounding(plan: KitPlan, master: bytes, kit_id: int) -> Rounding:
    """The rounding of a run that uses this kit, bit for bit: for the dealer's eyes, which are a test's or a benchmark's.

    It must be asked in the order of the plan's sections, but for maxima that are exact.
    """
    drawn: list[Elements] = []
    # a maximum that is exact is not rounded; of a norm test the length is, which is looked up
    rounded: dict[str, Callable[[Elements], Elements]] = {"relu": _all, "truncate": _all, "max": _all, "norm": _last}

    class Recording(Dealing):
        """Keeps the r of every section."""

        def random(self, n: int) -> Elements:
            drawn.append(super().random(n))
            return drawn[-1]

    deal_kit(plan, master, kit_id, Recording)
    first = np.cumsum([0, *(_DRAWS.get(section.kind, 1) for section in plan.sections)])
    masks = iter(
        rounded[section.kind](drawn[k])
        for k, section in zip(first, plan.sections, strict=False)
        if section.kind in rounded and (section.kind != "max" or section.extent)
    )
    p, q = plan.field.p, plan.q

    def rounding(z: Integers, drop: int, below: int) -> tuple[Integers, Bools]:
        # the formulas of protocols/truncation.py and comparison.py in Python integers: 2 z + r passes 63 bits
        g, r = drop + 1, next(masks).astype(object)
        c = (2 * z.astype(object) + r) % p
        moved = (c + (1 << q - 2)) % p
        wrapped = (r >> q - 1) * (1 - (moved >> q - 1))
        exact = (moved >> g) - (r >> g) + wrapped * (1 << q - g) - (1 << q - 2 >> g)
        negative = ((c ^ r) & 1).astype(np.bool_) ^ ((c >> below) < (r >> below)).astype(np.bool_)
        return cast(Integers, exact.astype(np.int64)), negative

    return rounding


def _all(r: Elements) -> Elements:
    return r


def _last(r: Elements) -> Elements:
    return r[-1:]
