"""What a run is about, and what it costs."""

import time
from dataclasses import dataclass, field
from functools import cached_property

from visard_common.operations import OPERATIONS, Declared
from visard_wire.sealing import Context
from visard_wire.v1 import common_pb2

from visard_party.intake.deposits import Deposit


@dataclass(frozen=True)
class Asked:
    """A request as this party was asked to run it, within so many seconds. ``attempt`` names the session."""

    request: common_pb2.Request
    attempt: bytes
    deposit: Deposit | None  # what its caller has handed in; None where nobody has signed
    seconds: float

    @cached_property
    def context(self) -> Context:
        """What it means."""
        return Context.from_request(self.request)

    @property
    def declared(self) -> Declared:
        """What its operation is."""
        return OPERATIONS[self.request.operation]

    @property
    def caller(self) -> str:
        """Who has signed it; empty where nobody has."""
        return self.deposit.caller if self.deposit is not None else ""


@dataclass
class Meter:
    """What a run cost."""

    started: float = field(default_factory=time.monotonic)
    queued: float = 0.0
    engine: float = 0.0
    cpu: float = 0.0
    kit_bytes: int = 0
