"""What can be wrong with a network. The model owner acts on all of these."""

from services.mpc.errors import EngineError


class ModelError(EngineError):
    """Base: the text names the layer or operation and what is allowed."""


class ProgramError(ModelError):
    """A program is malformed."""


class UnsupportedLayer(ModelError):
    """The module holds something that is not on the closed list of layers."""


class RangeExceeded(ModelError):
    """A value could leave the range in which the protocols are exact."""
