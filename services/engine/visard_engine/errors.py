"""What can go wrong in the engine. The developer acts, but on lost peers the operator, and on refused inputs the caller."""


class EngineError(Exception):
    """Base of all errors of this package."""


class ProtocolError(EngineError):
    """A peer's message does not fit the protocol (wrong length, say)."""


class PeerLost(EngineError):
    """The connection to a peer ended in the middle of a run."""


class RoundTimeout(EngineError):
    """A peer sent nothing in the time a round may take."""


class PartyDeviates(EngineError):
    """Somebody did not follow the protocol. The operators act: the evidence of all three parties tells who (operations.md)."""


class ViewsDiffer(PartyDeviates):
    """A peer has seen other values opened than this party has. What either has seen is not said: see ``Views``."""

    def __init__(self, kind: str, number: int, peer: int) -> None:
        super().__init__(f"round {number} ({kind}): party {peer} has seen something else opened so far")
        self.kind = kind
        self.number = number
        self.peer = peer


class CheckFailed(PartyDeviates):
    """A product that the parties made locally is not what was opened of it: the verification at the end of a run."""


class InputRefused(EngineError):
    """What a client has shared cannot be worked with. The caller acts: ``field`` names what is wrong."""

    def __init__(self, field: str, allowed: str) -> None:
        super().__init__(f"{field}: {allowed}")
        self.field = field
        self.allowed = allowed


class PlanError(EngineError):
    """A kit plan is malformed, or larger than the limits allow."""


class KitError(EngineError):
    """A kit does not fit the run: too short, left over, or used out of order."""
