"""What can be wrong with a network. The model owner acts on all of these."""

from visard_engine.errors import EngineError


class ModelError(EngineError, ValueError):
    """Base: the text names the layer or operation and what is allowed. A ValueError too: the compiler's callers, who do not
    know this package, can tell it from a defect."""


class ProgramError(ModelError):
    """A program is malformed."""


class UnsupportedLayer(ModelError):
    """The module holds something that is not on the closed list of layers."""


class RangeExceeded(ModelError):
    """A value could leave the range in which the protocols are exact."""


class Differs(ModelError):
    """The program computes something else than the module it was made of, or too little of it is left."""
