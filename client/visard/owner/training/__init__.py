"""Training the thesis' networks, on one thread."""

from typing import TYPE_CHECKING

from visard.later import modules

if TYPE_CHECKING:
    from visard.owner.training import faces as faces
    from visard.owner.training import loop as loop
    from visard.owner.training import weights as weights
else:
    __getattr__ = modules(__name__, "faces", "loop", "weights")
