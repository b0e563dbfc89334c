"""Keeping the services of this machine running: whatever ends is started again, later each time, and told about."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from visard.cluster import Cluster

PAUSES = (1.0, 60.0)  # seconds before a service is started again: at first, at most
STEADY_SECONDS = 60.0  # a service that has run so long may end again without a longer pause


@dataclass
class _Patient:
    """A service that has ended at least once."""

    pause: float = PAUSES[0]
    started_at: float = 0.0
    due: float | None = None  # when it is to be started; None while it runs


class Supervisor:
    """Looks after a cluster. ``tell`` gets a line for every end and every start."""

    def __init__(
        self, cluster: Cluster, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster = cluster
        self._tell = tell
        self._clock = clock
        self._patients: dict[str, _Patient] = {}

    def look(self) -> None:
        """Notice what has ended, and start what is due."""
        now = self._clock()
        for name, process in list(self._cluster.processes.items()):
            patient = self._patients.get(name)
            if patient is not None and patient.due is not None:
                if now >= patient.due:
                    self._start(name, patient, now)
            elif process.poll() is not None:
                self._ended(name, patient or _Patient(), now)

    def _ended(self, name: str, patient: _Patient, now: float) -> None:
        if now - patient.started_at > STEADY_SECONDS:
            patient.pause = PAUSES[0]
        patient.due = now + patient.pause
        self._patients[name] = patient
        how = _how(self._cluster.processes[name].returncode)
        words = "" if how.startswith("killed") else f": {self._cluster.last_words(name)}"
        self._tell(f"{name} has ended ({how}){words}; it is started again in {patient.pause:g} s")
        patient.pause = min(2 * patient.pause, PAUSES[1])

    def _start(self, name: str, patient: _Patient, now: float) -> None:
        self._cluster.buried(name)
        self._cluster.spawn(name)
        patient.started_at, patient.due = now, None
        self._tell(f"{name} is started again")


def _how(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    return f"killed by {signal.Signals(-status).name}"
