"""How well a network tells people apart, as biometrics reports it."""

from typing import TYPE_CHECKING

from visard.later import modules

if TYPE_CHECKING:
    from visard.owner.evaluation import attack as attack
    from visard.owner.evaluation import embed as embed
    from visard.owner.evaluation import pairs as pairs
    from visard.owner.evaluation import plots as plots
    from visard.owner.evaluation import report as report
    from visard.owner.evaluation import run as run
else:
    __getattr__ = modules(__name__, "attack", "embed", "pairs", "plots", "report", "run")
