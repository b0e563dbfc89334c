"""What owners of networks do: bring one, train it, judge it, publish it. Torch and matplotlib are imported below this alone.

The extra ``owner`` brings them. Modules are loaded when they are used, so that whoever imports this package waits for nothing.
"""

from typing import TYPE_CHECKING

from visard.later import modules

if TYPE_CHECKING:
    from visard.owner import bring as bring
    from visard.owner import centre as centre
    from visard.owner import demo as demo
    from visard.owner import evaluation as evaluation
    from visard.owner import linear as linear
    from visard.owner import origins as origins
    from visard.owner import plain as plain
    from visard.owner import publish as publish
    from visard.owner import threads as threads
    from visard.owner import training as training
else:
    __getattr__ = modules(
        __name__,
        "bring",
        "centre",
        "demo",
        "evaluation",
        "linear",
        "origins",
        "plain",
        "publish",
        "threads",
        "training",
    )
