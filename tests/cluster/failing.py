"""What ends the run, and waiting for a state until a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE = 1.0


class Failed(Exception):
    """A step has not seen what it must see; its text is for the report."""


def check(holds: object, otherwise: str) -> None:
    """Raise Failed with this text unless something holds."""
    if not holds:
        raise Failed(otherwise)


def until(what: str, look: Callable[[], T | None], seconds: float, pause: float = _PAUSE) -> T:
    """What ``look`` finds, as soon as it is something true; raises Failed after so many seconds."""
    end = time.monotonic() + seconds
    while not (found := look()):
        check(time.monotonic() < end, f"{what}: not within {seconds:g} s")
        time.sleep(pause)
    return found
