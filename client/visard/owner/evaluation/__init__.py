"""How well a network tells people apart, as biometrics reports it."""

from typing import TYPE_CHECKING

from visard.later import modules

if TYPE_CHECKING:
    from visard.owner.evaluation import attack as attack
    from visard.owner.evaluation import calibration as calibration
    from visard.owner.evaluation import embed as embed
    from visard.owner.evaluation import further as further
    from visard.owner.evaluation import groups as groups
    from visard.owner.evaluation import identification as identification
    from visard.owner.evaluation import pairs as pairs
    from visard.owner.evaluation import plots as plots
    from visard.owner.evaluation import report as report
    from visard.owner.evaluation import run as run
else:
    __getattr__ = modules(
        __name__,
        "attack",
        "calibration",
        "embed",
        "further",
        "groups",
        "identification",
        "pairs",
        "plots",
        "report",
        "run",
    )
