"""What can go wrong in the engine. The developer acts on all but the lost peers, on which the operator acts."""


class EngineError(Exception):
    """Base of all errors of this package."""


class ProtocolError(EngineError):
    """A peer's message does not fit the protocol (wrong length, say)."""


class PeerLost(EngineError):
    """The connection to a peer ended in the middle of a run."""


class RoundTimeout(EngineError):
    """A peer sent nothing in the time a round may take."""


class PlanError(EngineError):
    """A kit plan is malformed, or larger than the limits allow."""


class KitError(EngineError):
    """A kit does not fit the run: too short, left over, or used out of order."""
